import type { Host } from '#resources/resource';
import type { BaseNote } from './notes.ts';
import { literal, query, type ServerOf } from './server.ts';

type Counted = BaseNote['counts'][number];
type Table = Counted['tables'][number];

/** Bytes up to which a table is counted, and up to which all of a database together are. */
const MOST = 256 * 1024 ** 2;
const MOST_TOGETHER = 1024 ** 3;

/** Tables that one statement counts: each is a scan of its own in the plan. */
const AT_ONCE = 300;

/** Seconds for counting one database. */
const LIMIT = 600;

interface Known extends Omit<Table, 'exact'> {
  readonly bytes: number;
}

const TABLES = `SELECT n.nspname, c.relname, greatest(c.reltuples, 0)::bigint, pg_relation_size(c.oid)
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
  ORDER BY 4, 1, 2;`;

/** A name as SQL reads it whatever it consists of. */
function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** The tables small enough to be counted, the smallest first, as `TABLES` has them. */
export function countable<T extends { readonly bytes: number }>(tables: readonly T[]): readonly T[] {
  let together = 0;
  return tables.slice(0, AT_ONCE).filter(({ bytes }) => {
    together += bytes;
    return bytes <= MOST && together <= MOST_TOGETHER;
  });
}

async function countOne(host: Host, server: ServerOf): Promise<Counted> {
  const rows = await query(host, server, TABLES, { timeout: LIMIT });
  const known = rows.map(
    ([schema = '', name = '', estimate = '', bytes = '']): Known => ({
      ...{ schema, name, rows: Number(estimate), bytes: Number(bytes) },
    }),
  );
  const small = countable(known);
  const count = small.map(
    ({ schema, name }, index) => `SELECT ${index}, count(*)::text FROM ONLY ${quoted(schema)}.${quoted(name)}`,
  );
  // One statement has one snapshot, and its position in the log: what is written meanwhile is in none of the figures.
  const position = 'SELECT -1, pg_current_wal_insert_lsn()::text';
  const sql = `SET lock_timeout = '5s'; ${[position, ...count].join(' UNION ALL ')};`;
  // A table that is locked or dropped this very moment must not cost the copy its figures.
  const answered = await query(host, server, sql, { timeout: LIMIT }).catch(() => query(host, server, `${position};`));
  const exact = new Map(answered.map(([index = '', value = '']) => [Number(index), value]));
  const tables = known.map(({ schema, name, rows: estimate }, index): Table => {
    const counted = exact.get(index);
    return { schema, name, rows: Number(counted ?? estimate), exact: counted !== undefined };
  });
  return { database: server.database, lsn: exact.get(-1) ?? '0/0', tables };
}

/** The databases that can be connected to, without the templates. */
export async function databasesOf(host: Host, server: ServerOf): Promise<readonly string[]> {
  const rows = await query(
    host,
    server,
    'SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate ORDER BY datname;',
  );
  return rows.map(([name = '']) => name);
}

/** How many rows each table has; each database with the position of the log at which that was so. */
export async function countRows(host: Host, server: ServerOf): Promise<readonly Counted[]> {
  const all: Counted[] = [];
  for (const database of await databasesOf(host, server)) all.push(await countOne(host, { ...server, database }));
  return all;
}

/** Ends what an interrupted run of ours has left in the server, which would go on for ever: nobody reads it. */
export async function endLeftovers(host: Host, server: ServerOf, application: string): Promise<void> {
  await query(
    host,
    server,
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = ${literal(application)};`,
  );
}
