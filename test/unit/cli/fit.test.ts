import { expect, test } from 'vitest';
import { listed, wrapped } from '#cli/fit';

test('what does not fit is counted', () => {
  const items = ['create', 'a 0 -> 1', 'b 0 -> 1', 'c 0 -> 1'];
  expect(listed(items, 80)).toBe('create, a 0 -> 1, b 0 -> 1, c 0 -> 1');
  expect(listed(items, 30)).toBe('create, a 0 -> 1, and 2 more');
  expect(listed(['longer than the width there is'], 10)).toBe('longer than the width there is');
  expect(listed([], 10)).toBe('');
});

test('long sentences are broken at blanks, and nothing is lost', () => {
  const text = 'one two three four five six';
  const lines = wrapped(text, 14, '  ').split('\n');
  expect(lines).toEqual(['one two three', '  four five', '  six']);
  expect(wrapped('    ! told', 80, '      ')).toBe('    ! told');
  expect(lines.map((line) => line.trim()).join(' ')).toBe(text);
});
