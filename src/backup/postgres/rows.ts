import type { Backups } from '#backup/engine';
import { counted } from '#core/units';
import type { DrillCheck, PostgresSource } from '#protocol/backup';
import type { Host } from '#resources/resource';
import { type BaseNote, notesPrefix, readNotes } from './notes.ts';
import { query, type ServerOf } from './server.ts';

/** How many rows a table has; undefined where there is no such table. */
export type Rows = number | undefined;

/** A table with the rows that were counted when its copy was taken, and those of the restored copy. */
export interface Compared {
  /** `database.schema.table`. */
  readonly table: string;
  readonly before: number;
  readonly after: Rows;
}

type Counted = BaseNote['counts'][number];
type Table = Counted['tables'][number];

/** Rows that any table may lose without a word: sessions and queues empty. */
const FEW = 100;

/** Seconds for counting the tables of one database. */
const LIMIT = 3600;

/** How many tables are named in what is told. */
const NAMED = 3;

/** Whether a table has vanished, or lost more than half of what it had. */
export function isShort({ before, after }: Pick<Compared, 'before' | 'after'>): boolean {
  return after === undefined || Number.isNaN(after) || (before >= FEW && after < before / 2);
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** Counts tables of one database as they were counted before: one by one, or as the server estimates. */
async function countRows(host: Host, server: ServerOf, tables: readonly Table[]): Promise<readonly Rows[]> {
  const there = await query(
    host,
    server,
    `SELECT n.nspname, c.relname, greatest(c.reltuples, 0)::bigint
       FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'm');`,
  );
  const keyOf = (schema: string, name: string) => JSON.stringify([schema, name]);
  const known = new Map(there.map(([schema = '', name = '', rows]) => [keyOf(schema, name), Number(rows)]));
  const exact = tables.filter(({ schema, name, exact }) => exact && known.has(keyOf(schema, name)));
  const counting = exact.map(
    ({ schema, name }, index) => `SELECT ${index}, count(*) FROM ONLY ${quoted(schema)}.${quoted(name)}`,
  );
  const counts =
    counting.length === 0 ? [] : await query(host, server, `${counting.join(' UNION ALL ')};`, { timeout: LIMIT });
  const found = new Map(counts.map(([index, rows]) => [Number(index), Number(rows)]));
  exact.forEach(({ schema, name }, index) => {
    known.set(keyOf(schema, name), found.get(index) ?? Number.NaN);
  });
  return tables.map(({ schema, name }) => known.get(keyOf(schema, name)));
}

/** What was noted of a copy, from whichever repository has it. */
async function noteOf(backups: Backups, source: PostgresSource, base: string): Promise<BaseNote | undefined> {
  for (const store of backups.stores) {
    const objects = await store.list(notesPrefix(source.name)).catch(() => []);
    const { notes } = await readNotes(backups, source.name, store, objects);
    for (const { note } of notes) if (note.kind !== 'dump' && note.id === base) return note;
  }
  return undefined;
}

const asNumber = (rows: Rows) => (rows === undefined ? 'gone' : rows.toLocaleString('en'));

function named(all: readonly Compared[]): string {
  const some = all
    .slice(0, NAMED)
    .map(({ table, before, after }) => `${table} ${asNumber(before)} → ${asNumber(after)}`);
  return [...some, ...(all.length > NAMED ? [`${all.length - NAMED} more`] : [])].join(', ');
}

/**
 * Compares the rows of a restored copy with those that were counted when its base was taken. A table that is gone or has
 * lost more than half fails, unless production has lost as much meanwhile.
 */
export async function compareRows(
  backups: Backups,
  source: PostgresSource,
  copy: ServerOf,
  base: string,
): Promise<Pick<DrillCheck, 'result' | 'found'>> {
  const { host } = backups;
  const note = await noteOf(backups, source, base);
  if (note === undefined || note.counts.length === 0) {
    return { result: 'skipped', found: `nothing was counted when ${base} was taken` };
  }
  const all: Compared[] = [];
  const short: Compared[] = [];
  for (const { database, tables } of note.counts) {
    const counts = await countRows(host, { ...copy, database }, tables);
    const compared = tables.map(({ schema, name, rows }, index) => ({
      ...{ table: `${database}.${schema}.${name}`, before: rows, after: counts[index] },
    }));
    const suspects = tables.filter((_, index) => isShort(compared[index] ?? { before: 0, after: 0 }));
    const now = suspects.length === 0 ? [] : await countRows(host, { ...source, database }, suspects).catch(() => []);
    const isLost = (table: Table, index: number) =>
      now[index] !== undefined && !isShort({ before: table.rows, after: now[index] });
    const lost = new Set(
      suspects
        .filter((table, index) => now.length === 0 || isLost(table, index))
        .map(({ schema, name }) => `${database}.${schema}.${name}`),
    );
    all.push(...compared);
    short.push(...compared.filter(({ table }) => lost.has(table)));
  }
  if (short.length > 0) return { result: 'failed', found: `rows are missing: ${named(short)}` };
  const rows = all.reduce((sum, { after }) => sum + (after ?? 0), 0);
  const changed = all.filter(({ before, after }) => before !== after);
  const since = changed.length === 0 ? 'as many as when it was taken' : `since it was taken: ${named(changed)}`;
  return { result: 'passed', found: `${counted(rows, 'row')} in ${counted(all.length, 'table')}, ${since}` };
}
