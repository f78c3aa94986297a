import { expect, test } from 'vitest';
import { isShort } from '#backup/postgres/rows';

test.each([
  [{ before: 1000, after: undefined }, true],
  [{ before: 0, after: undefined }, true],
  [{ before: 0, after: Number.NaN }, true],
  [{ before: 1000, after: 499 }, true],
  [{ before: 1000, after: 500 }, false],
  [{ before: 1000, after: 2000 }, false],
  [{ before: 99, after: 0 }, false],
])('%j is short: %s', (counts, expected) => {
  expect(isShort(counts)).toBe(expected);
});
