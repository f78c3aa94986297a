import { lstat, mkdir, realpath, rename, utimes } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { DeployError } from '#core/errors';
import type { Host } from '#resources/resource';

/** As much as is used of Node's own SQLite, which its types know only since the version that hosts have. */
interface Database {
  prepare(sql: string): { all(): readonly Readonly<Record<string, unknown>>[] };
  close(): void;
}
interface Sqlite {
  readonly DatabaseSync: new (path: string, options: { readonly timeout: number }) => Database;
  backup(source: Database, path: string, options: { readonly rate: number }): Promise<number>;
}

/** Milliseconds that a database may be locked by who writes to it. */
const PATIENCE = 30_000;

/** All pages in one step, within one transaction: in several, each change in between would begin it anew. */
const AT_ONCE = 2 ** 31 - 1;

/** What SQLite lays beside a database. */
export const BESIDE: readonly string[] = ['', '-wal', '-shm', '-journal'];

function sqlite(): Sqlite {
  // No `import`: where the command line runs, Node may be too old for it.
  return process.getBuiltinModule('node:sqlite') as unknown as Sqlite;
}

function open(path: string): Database {
  return new (sqlite().DatabaseSync)(path, { timeout: PATIENCE });
}

function failed(path: string, why: string): DeployError {
  return new DeployError('backup-failed', `${path} cannot be copied: ${why}`, {
    hint: 'Look at it with `sqlite3` where the app runs; `backups.volumes` in the inventory names it.',
  });
}

/** What is wrong with a database, in SQLite's own words; empty where all is well. */
export function integrityOf(path: string): readonly string[] {
  try {
    const database = open(path);
    try {
      const rows = database
        .prepare('PRAGMA integrity_check(10)')
        .all()
        .map((row) => String(Object.values(row)[0]));
      return rows.length === 1 && rows[0] === 'ok' ? [] : rows;
    } finally {
      database.close();
    }
  } catch (error) {
    return [error instanceof Error ? error.message : String(error)];
  }
}

/** Rows by table of a database. */
export function rowsOf(path: string): Readonly<Record<string, number>> {
  const database = open(path);
  try {
    const tables = database.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND rootpage > 0").all();
    const counts = tables.map(({ name }): [string, number] => {
      const [row] = database.prepare(`SELECT count(*) AS rows FROM "${String(name).replaceAll('"', '""')}"`).all();
      return [String(name), Number(row?.['rows'])];
    });
    return Object.fromEntries(counts);
  } finally {
    database.close();
  }
}

/** Where a database that is declared lies; rejects where it is none, or leads out of the folder it is declared in. */
async function locate(root: string, path: string): Promise<string> {
  const full = join(root, path);
  const [folder, found] = await Promise.all([
    realpath(dirname(full)).catch(() => undefined),
    lstat(full).catch(() => undefined),
  ]);
  if (found === undefined) throw failed(full, 'there is no such file.');
  const home = await realpath(root);
  if (!found.isFile() || (folder !== home && folder?.startsWith(`${home}/`) !== true)) {
    throw failed(full, 'it is no plain file in there.');
  }
  return full;
}

/**
 * Copies a database as it is at one moment, while it is written to, and looks whether the copy is sound. It gets the
 * owner, mode and attributes of the database. Resolves with the rows of its tables.
 */
export async function copyDatabase(
  host: Host,
  root: string,
  path: string,
  copy: string,
): Promise<Readonly<Record<string, number>>> {
  const full = await locate(root, path);
  await mkdir(dirname(copy), { recursive: true, mode: 0o700 });
  try {
    const database = open(full);
    try {
      await sqlite().backup(database, copy, { rate: AT_ONCE });
    } finally {
      database.close();
    }
  } catch (error) {
    throw failed(full, error instanceof Error ? error.message : String(error));
  }
  const faults = integrityOf(copy);
  if (faults.length > 0) throw failed(full, `it is damaged: ${faults.slice(0, 3).join('; ')}`);
  const rows = rowsOf(copy);
  await host.must(['cp', '--attributes-only', '--preserve=all', full, copy]);
  return rows;
}

/** Puts a restored copy where the database belongs; the folder stays as old as it was. */
export async function putDatabase(copy: string, root: string, path: string): Promise<void> {
  const place = join(root, path);
  const { atime, mtime } = await lstat(dirname(place));
  await rename(copy, place);
  await utimes(dirname(place), atime, mtime);
}
