import { lstat, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { DeployError } from '#core/errors';
import type { DrillCheck, SourceOf } from '#protocol/backup';
import type { Host } from '#resources/resource';
import type { Stored } from './copies/catalogue.ts';
import { checked, copiedWhole, type Found, type Recipe } from './copies/engine.ts';
import { fetchTree } from './copies/fetch.ts';
import type { Note } from './copies/note.ts';
import type { Held } from './copies/take.ts';
import type { Backups, Done, Wish } from './engine.ts';
import { sourceFolder } from './places.ts';
import { LONG } from './snapshots.ts';
import { spool } from './spool.ts';
import type { Store } from './store/store.ts';
import { filesIn, isSame, isUnchanged, literalPattern, restoredAt, sampleOf } from './volume/sample.ts';
import { BESIDE, copyDatabase, integrityOf, putDatabase, rowsOf } from './volume/sqlite.ts';
import { standStill, sweep } from './volume/standstill.ts';

type Volume = SourceOf<'volume'>;

/** What only a database server has, and by which its data is told. */
const SERVERS: readonly (readonly [string, string])[] = [
  ['global/pg_control', 'PostgreSQL'],
  ['ibdata1', 'MariaDB or MySQL'],
];

async function folderOf(host: Host, { volume }: Volume): Promise<string> {
  if (volume.startsWith('/')) {
    const found = await lstat(volume).catch(() => undefined);
    if (found?.isDirectory() === true) return volume;
    throw new DeployError('backup-failed', `There is no folder ${volume}.`, {
      hint: 'Make it, or take it out of `backups.volumes` in the inventory.',
    });
  }
  const found = await host.docker<{ readonly Mountpoint: string }>(`/volumes/${volume}`);
  if (found !== undefined) return found.Mountpoint;
  throw new DeployError('backup-failed', `There is no volume ${volume}.`, {
    hint: 'Release the app that uses it first, or take it out of `backups.volumes` in the inventory.',
  });
}

/** Files of a running server that are copied one by one make no database. */
async function refuseServers(root: string, containers: Volume['containers']): Promise<void> {
  if (containers === 'stop') return;
  for (const [path, server] of SERVERS) {
    if ((await lstat(join(root, path)).catch(() => undefined)) === undefined) continue;
    throw new DeployError(
      'backup-failed',
      `${root} is the data of ${server}, which files copied one by one cannot restore.`,
      {
        hint: 'Back up the server itself (`accessories`), or let it `stop` meanwhile.',
      },
    );
  }
}

async function hold({ host, settings }: Backups, source: Volume): Promise<Held> {
  const { name, sqlite, containers } = source;
  const { app } = settings;
  const root = await folderOf(host, source);
  await refuseServers(root, containers);
  await using held = new AsyncDisposableStack();
  const copies = join(sourceFolder(app, name), 'sqlite');
  held.defer(() => rm(copies, { recursive: true, force: true }));
  await rm(copies, { recursive: true, force: true });
  if (containers === 'stop') held.use(await standStill(host, app, root, 'stop'));
  const at = new Date();
  const counts: Record<string, number> = {};
  for (const path of sqlite) {
    const rows = await copyDatabase(host, root, path, join(copies, path));
    for (const [table, count] of Object.entries(rows)) counts[`${path}: ${table}`] = count;
  }
  // Not before: what is frozen in the middle of a transaction keeps its database locked.
  if (containers === 'pause') held.use(await standStill(host, app, root, 'pause'));
  const excluded = sqlite.flatMap((path) => BESIDE.map((suffix) => literalPattern(`${join(root, path)}${suffix}`)));
  const kept = held.move();
  return {
    at,
    args: [...excluded.flatMap((path) => ['--exclude', path]), '--', root, ...(sqlite.length === 0 ? [] : [copies])],
    note: { root, counts, sqlite: sqlite.map((path) => ({ path, copy: join(copies, path) })) },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

/** Restores what was below the root, the root itself with its owner and mode, and puts databases in their places. */
async function bring(_backups: Backups, _source: Volume, { snapshot, note }: Found, { store, folder }: Wish) {
  const tree = join(folder, 'tree');
  const checks: DrillCheck[] = [await fetchTree(store, snapshot, dirname(note.root), tree)];
  const data = join(tree, basename(note.root));
  for (const [index, { path, copy }] of note.sqlite.entries()) {
    const place = join(folder, `database-${index}`);
    await fetchTree(store, snapshot, dirname(copy), place, [`/${literalPattern(basename(copy))}`]);
    await putDatabase(join(place, basename(copy)), data, path);
  }
  return { data, checks };
}

async function checkDatabase(data: string, path: string, counts: Note['counts']): Promise<DrillCheck> {
  return checked(`SQLite ${path}`, async () => {
    const faults = integrityOf(join(data, path));
    if (faults.length > 0) return { isWell: false, found: faults.slice(0, 3).join('; ') };
    const rows = rowsOf(join(data, path));
    const expected = Object.entries(counts).filter(([table]) => table.startsWith(`${path}: `));
    const differing = expected.filter(([table, count]) => rows[table.slice(path.length + 2)] !== count);
    const total = Object.values(rows).reduce((sum, count) => sum + count, 0);
    if (differing.length === 0) return { isWell: true, found: `sound; ${total} rows, as when it was copied` };
    const [table = '', count] = differing[0] ?? [];
    return { isWell: false, found: `${table} has ${rows[table.slice(path.length + 2)]} rows instead of ${count}` };
  });
}

/** Reads a hundredth of the files in the newest copy, and compares those that have not changed since with what is there. */
async function compare({ host, settings }: Backups, source: Volume, store: Store, newest: Stored): Promise<Done> {
  const repository = store.name;
  const { snapshot } = newest;
  const root = await folderOf(host, source);
  const listing = await store.restic(['ls', '--json', '--recursive', snapshot, root], { timeout: LONG });
  if (listing.exitCode !== 0) return { repository, why: `Snapshot ${snapshot} cannot be listed.` };
  const files = sampleOf(filesIn(listing.stdout), Math.random);
  if (files.length === 0) return { repository, made: snapshot };
  await using folder = await spool(settings.app, source.name, `sample-${store.name}`);
  const patterns = files.map(({ path }) => literalPattern(path.slice(root.length)));
  await fetchTree(store, snapshot, root, folder.path, patterns);
  const differing: string[] = [];
  for (const file of files) {
    const isWanted = await isUnchanged(file);
    const isEqual = await isSame(file.path, restoredAt(folder.path, root, file.path)).catch(() => false);
    // What changes while it is read is no fault of the copy.
    if (isWanted && !isEqual && (await isUnchanged(file))) differing.push(file.path);
  }
  const details = { compared: files.length };
  if (differing.length === 0) return { repository, made: snapshot, details };
  const why = `Not what snapshot ${snapshot} holds, though neither size nor time has changed:\n${differing.join('\n')}`;
  return { repository, details, why };
}

const recipe: Recipe<Volume> = {
  hold,
  bring,
  compare,
  watch: ({ host, settings }) => sweep(host, settings.app),
  // There is no server: the files are what there is.
  async revive() {
    return { container: '', checks: [], async [Symbol.asyncDispose]() {} };
  },
  prove: (_backups, { sqlite }, _container, data, note) =>
    Promise.all(sqlite.map((path) => checkDatabase(data, path, note.counts))),
  sizeOf: (bytes) => bytes,
};

/** Folders and Docker volumes, with SQLite databases in them copied by SQLite itself. */
export const volume = copiedWhole(recipe);
