import { expect, test } from 'vitest';
import { literal, pgCommand, psqlCommand, rowsOf } from '#backup/postgres/server';

test('a program in the container is not sent elsewhere by what the app has set', () => {
  const argv = pgCommand('shop-db', 'pg_basebackup', ['--pgdata=-']);
  expect(argv.slice(0, 5)).toEqual(['docker', 'exec', '--interactive', 'shop-db', 'env']);
  expect(argv).toContain('--unset=PGHOST');
  expect(argv).toContain('--unset=PGOPTIONS');
  // The server itself listens where PGPORT says.
  expect(argv).not.toContain('--unset=PGPORT');
  expect(argv.slice(-2)).toEqual(['pg_basebackup', '--pgdata=-']);
});

test('psql reads no start-up file, asks for no password and stops at the first error', () => {
  const argv = psqlCommand({ container: 'shop-db', user: 'app', database: 'shop' });
  for (const word of ['--no-psqlrc', '--no-password', '--set=ON_ERROR_STOP=1', '--username=app', '--dbname=shop']) {
    expect(argv).toContain(word);
  }
});

test.each([
  ['', []],
  ['1\n', [['1']]],
  [
    'a\u001fb\u001ec\u001fd\n',
    [
      ['a', 'b'],
      ['c', 'd'],
    ],
  ],
  [
    'a|b\nc\u001f\u001e\u001f\n',
    [
      ['a|b\nc', ''],
      ['', ''],
    ],
  ],
])('%j has the rows %j', (stdout, rows) => {
  expect(rowsOf(stdout)).toEqual(rows);
});

test('a literal cannot be left', () => {
  expect(literal("O'Hara")).toBe("'O''Hara'");
});
