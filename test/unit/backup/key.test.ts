import { expect, test } from 'vitest';
import { identityIn } from '#backup/key';
import { run } from '#core/run';

test('a key is found in what age-keygen has printed, and in a copy with notes and spaces around it', async () => {
  const { stdout } = await run(['age-keygen']);
  const key = identityIn(stdout);
  expect(key).toMatch(/^AGE-SECRET-KEY-1/);
  expect(identityIn(`  ${key}\r\nkept in the safe\n`)).toBe(key);
});

test('what is no key, or more than one, is none', async () => {
  const [one, two] = await Promise.all([run(['age-keygen']), run(['age-keygen'])]);
  expect(identityIn(`${one.stdout}${two.stdout}`)).toBeUndefined();
  expect(identityIn('')).toBeUndefined();
  expect(identityIn('age1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq')).toBeUndefined();
  expect(identityIn('AGE-SECRET-KEY-1')).toBeUndefined();
});
