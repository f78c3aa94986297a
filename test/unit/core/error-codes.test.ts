import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { errorsPage } from '#cli/errors-page';
import { ERROR_CODES } from '#core/error-codes';

test('the documentation lists every error code as `deploy explain` does', () => {
  expect(readFileSync('docs/errors.md', 'utf8')).toBe(errorsPage());
});

test('every entry ends its sentences', () => {
  for (const { means, fix } of Object.values(ERROR_CODES)) {
    expect(means).toMatch(/[.]$/);
    expect(fix).toMatch(/[.`]$|\.$/);
  }
});
