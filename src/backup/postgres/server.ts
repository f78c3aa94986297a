import { runInside } from '#backup/inside';
import { DeployError } from '#core/errors';
import { lastLines, type Output, type RunOptions } from '#core/run';
import type { PostgresSource } from '#protocol/backup';
import type { Host } from '#resources/resource';
import { type Lsn, parseLsn } from './lsn.ts';

/** The server that a source is. */
export type ServerOf = Pick<PostgresSource, 'container' | 'user' | 'database'>;

/** What a cluster is and where its log stands. */
export interface Cluster {
  /** As PostgreSQL numbers itself: 170011 for 17.11. */
  readonly version: number;
  /** 17 for 17.11. */
  readonly major: number;
  /** What makes it this cluster and no other: decimal digits, too many for a number. */
  readonly systemId: string;
  readonly segmentBytes: number;
  readonly timeline: number;
  /** Up to where its log is on disk. */
  readonly flushed: Lsn;
  /** Seconds since 1970 by the server's own clock. */
  readonly time: number;
}

// What an owner has set for the app's own sake would send the tools elsewhere. PGPORT stays: the server obeys it too.
const UNWANTED = [
  ...['PGHOST', 'PGHOSTADDR', 'PGDATABASE', 'PGUSER', 'PGPASSWORD', 'PGPASSFILE', 'PGSERVICE', 'PGSERVICEFILE'],
  ...['PGOPTIONS', 'PGAPPNAME', 'PGSSLMODE', 'PGCLIENTENCODING', 'PGTARGETSESSIONATTRS', 'PGREQUIREAUTH', 'PGTZ'],
  ...['PGDATESTYLE', 'PGCONNECT_TIMEOUT', 'PGCHANNELBINDING', 'PGGSSENCMODE', 'PGLOADBALANCEHOSTS'],
];

const FIELD = '\u001f';
const ROW = '\u001e';

/** The argument vector that runs one of PostgreSQL's programs in a container, as the image's own user. */
export function pgCommand(container: string, program: string, args: readonly string[]): readonly string[] {
  return [
    ...['docker', 'exec', '--interactive', container],
    ...['env', ...UNWANTED.map((name) => `--unset=${name}`), program],
    ...args,
  ];
}

/** The argument vector that runs psql in a container; the statement is what it reads. */
export function psqlCommand({ container, user, database }: ServerOf): readonly string[] {
  return pgCommand(container, 'psql', [
    ...['--no-psqlrc', '--no-password', '--quiet', '--no-align', '--tuples-only', '--set=ON_ERROR_STOP=1'],
    ...[`--field-separator=${FIELD}`, `--record-separator=${ROW}`],
    ...[`--username=${user}`, `--dbname=${database}`],
  ]);
}

/** Asks a server, and resolves with psql's output whatever it came to. */
export function tryQuery(host: Host, server: ServerOf, sql: string, options: RunOptions = {}): Promise<Output> {
  const { timeout = 60 } = options;
  // The program in the container would outlive the one that waits for it here; the server ends it by itself.
  const input = `SET statement_timeout = ${Math.ceil(timeout * 1000)};\n${sql}\n`;
  return runInside(host, psqlCommand(server), { ...options, timeout: timeout + 5, input });
}

/** The rows that a statement answers with, each value as PostgreSQL prints it; rejects with `backup-failed`. */
export async function query(
  host: Host,
  server: ServerOf,
  sql: string,
  options: RunOptions = {},
): Promise<readonly (readonly string[])[]> {
  const output = await tryQuery(host, server, sql, options);
  if (output.exitCode !== 0) {
    throw new DeployError('backup-failed', `PostgreSQL in ${server.container} did not answer:\n${lastLines(output)}`, {
      hint: `\`docker logs ${server.container}\` on the host shows what it says.`,
    });
  }
  return rowsOf(output.stdout);
}

/** Rows as psql separates them. */
export function rowsOf(stdout: string): readonly (readonly string[])[] {
  // psql ends the last row like any other, and all of its output with a line break.
  const text = stdout.endsWith('\n') ? stdout.slice(0, -1) : stdout;
  const rows = text.split(ROW).map((row) => row.split(FIELD));
  return text === '' ? [] : text.endsWith(ROW) ? rows.slice(0, -1) : rows;
}

/** A text as a literal of SQL. */
export function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

/** What a cluster is and where its log stands. */
export async function readCluster(host: Host, server: ServerOf): Promise<Cluster> {
  const [row] = await query(
    host,
    server,
    `SELECT current_setting('server_version_num'),
       (SELECT system_identifier FROM pg_control_system()),
       pg_size_bytes(current_setting('wal_segment_size')),
       pg_walfile_name(pg_current_wal_insert_lsn()),
       pg_current_wal_flush_lsn(),
       extract(epoch FROM clock_timestamp());`,
  );
  const [version = '', systemId = '', segmentBytes = '', file = '', flushed = '', time = ''] = row ?? [];
  return {
    version: Number(version),
    major: Math.floor(Number(version) / 10_000),
    systemId,
    segmentBytes: Number(segmentBytes),
    timeline: Number.parseInt(file.slice(0, 8), 16),
    flushed: parseLsn(flushed),
    time: Number(time),
  };
}
