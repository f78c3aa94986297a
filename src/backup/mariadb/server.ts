import { runInside } from '#backup/inside';
import { DeployError } from '#core/errors';
import { lastLines, type RunOptions } from '#core/run';
import type { SourceOf } from '#protocol/backup';
import type { Host } from '#resources/resource';

/** A server, and whom it is asked as; without a password none is told. */
export type Server = Pick<SourceOf<'mariadb' | 'mysql'>, 'type' | 'container' | 'user'> & {
  readonly password?: string;
};

const PROGRAMS = {
  mariadb: { client: 'mariadb', dump: 'mariadb-dump', check: 'mariadb-check', admin: 'mariadb-admin' },
  mysql: { client: 'mysql', dump: 'mysqldump', check: 'mysqlcheck', admin: 'mysqladmin' },
} as const;

/** How one of a server's own programs is run in its container; the password goes by the environment, seen by no list. */
export function programOf(
  { type, container, user, password }: Server,
  program: keyof (typeof PROGRAMS)['mariadb'],
  args: readonly string[],
): { readonly argv: readonly string[]; readonly env: Readonly<Record<string, string>> } {
  const secret = password === undefined ? [] : ['--env', 'MYSQL_PWD'];
  return {
    // Settings of a file in the container could send it to another server: only what is said here counts.
    argv: [
      'docker',
      'exec',
      '--interactive',
      ...secret,
      container,
      PROGRAMS[type][program],
      '--no-defaults',
      `--user=${user}`,
      ...args,
    ],
    env: password === undefined ? {} : { MYSQL_PWD: password },
  };
}

/** The rows that a statement answers with. */
export async function query(
  host: Host,
  server: Server,
  statement: string,
  options: RunOptions = {},
): Promise<readonly (readonly string[])[]> {
  const { argv, env } = programOf(server, 'client', ['--batch', '--raw', '--skip-column-names']);
  const output = await runInside(host, argv, { ...options, env, input: `${statement}\n` });
  if (output.exitCode !== 0) {
    throw new DeployError('backup-failed', `The server in ${server.container} did not answer: ${lastLines(output)}`, {
      hint: `\`docker logs ${server.container}\` on the host shows what it says.`,
    });
  }
  return output.stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.split('\t'));
}

/** Whether a server is there, whoever it lets in. */
export async function isAlive(host: Host, server: Server, args: readonly string[] = []): Promise<boolean> {
  const { argv, env } = programOf(server, 'admin', [...args, 'ping']);
  return (await runInside(host, argv, { env })).exitCode === 0;
}

/** Databases that are the server's own: their tables change by themselves. */
export const OWN: readonly string[] = ['mysql', 'sys', 'information_schema', 'performance_schema'];

/** Tables that are written without transactions: a dump shows them as they were while it passed, not at its beginning. */
export async function withoutTransactions(host: Host, server: Server): Promise<readonly string[]> {
  const own = OWN.map((name) => `'${name}'`).join(', ');
  const rows = await query(
    host,
    server,
    `SELECT CONCAT(table_schema, '.', table_name) FROM information_schema.tables
      WHERE table_type = 'BASE TABLE' AND engine NOT IN ('InnoDB', 'RocksDB') AND table_schema NOT IN (${own}) ORDER BY 1;`,
  );
  return rows.map(([name = '']) => name);
}

/** A name as SQL reads it. */
export function quoted(name: string): string {
  return `\`${name.replaceAll('`', '``')}\``;
}

/** What a look through all tables (`CHECK TABLE`) found wrong: each line that is not a table's OK. */
export function faultsOf(text: string): readonly string[] {
  let table = '';
  return text.split('\n').flatMap((line) => {
    const fault = /^(?:error|warning|status)\s*:\s*(.*)$/i.exec(line)?.[1];
    if (fault !== undefined) return fault === 'OK' ? [] : [`${table}: ${fault}`];
    if (!/^(?:note|info)\s*:/i.test(line)) table = line.trim().split(/\s+/)[0] ?? '';
    return [];
  });
}
