import { expect, test } from 'vitest';
import { faultsOf, programOf, quoted } from '#backup/mariadb/server';

test('a password is in no argument', () => {
  const { argv, env } = programOf({ type: 'mysql', container: 'sql', user: 'root', password: 'sesame' }, 'dump', [
    '--all-databases',
  ]);
  expect(argv.join(' ')).not.toContain('sesame');
  expect(argv).toEqual([
    'docker',
    'exec',
    '--interactive',
    '--env',
    'MYSQL_PWD',
    'sql',
    'mysqldump',
    '--no-defaults',
    '--user=root',
    '--all-databases',
  ]);
  expect(env).toEqual({ MYSQL_PWD: 'sesame' });
});

test('a name is one word of SQL, whatever is in it', () => {
  expect(quoted('a`b c')).toBe('`a``b c`');
});

test('what CHECK TABLE finds wrong is named, and nothing else', () => {
  const well =
    "mysql.user                                         OK\nshop.log\nnote     : The storage engine for the table doesn't support check\nshop.users OK\n";
  expect(faultsOf(well)).toEqual([]);
  const broken = `${well}shop.orders\nWarning  : InnoDB: Index is corrupt\nerror    : Corrupt\nshop.next OK\n`;
  expect(faultsOf(broken)).toEqual(['shop.orders: InnoDB: Index is corrupt', 'shop.orders: Corrupt']);
});
