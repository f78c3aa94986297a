import { chown, mkdir, rename, rm, stat, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { keyPath } from '#backup/places';
import { BrokenCopy, unseal } from '#backup/seal';
import { LONG } from '#backup/snapshots';
import type { Store } from '#backup/store/store';
import { type PipelineOptions, pipeline } from '#core/pipeline';
import { plainName } from './archive.ts';
import type { Base } from './catalogue.ts';
import type { Range } from './choose.ts';
import { type Digests, type Follower, follow } from './follow.ts';
import type { LocalLog } from './read-log.ts';

/** Segments that are fetched and opened together: what is sealed takes room beside what was opened. */
const TOGETHER = 32;

const fileOf = (object: string): string => object.slice(object.lastIndexOf('/') + 1);

/** A fault of an object under its whole name, by which it is found in the repository. */
function named(error: unknown, objects: readonly string[]): unknown {
  if (!(error instanceof BrokenCopy)) return error;
  const whole = objects.find((object) => fileOf(object) === error.object) ?? error.object;
  return new BrokenCopy(whole, error.fault, error.message.replaceAll(error.object, whole));
}

async function bring(store: Store, objects: readonly string[], folder: string): Promise<void> {
  try {
    await store.fetch(objects, folder);
  } catch (error) {
    // What the repository shows no more is gone; what it cannot be asked about may well be there.
    const prefix = objects[0]?.slice(0, objects[0].lastIndexOf('/')) ?? '';
    const there = new Set((await store.list(prefix)).map(({ name }) => name));
    const gone = objects.find((object) => !there.has(object));
    if (gone === undefined) throw error;
    throw new BrokenCopy(gone, 'absent', `${gone} is not in the ${store.name} repository any more.`);
  }
}

/** Brings a range of log into a folder, each object checked against its name's hash and opened, as whole segments. */
export async function fetchLog(
  app: string,
  store: Store,
  { pieces, end }: Range,
  segment: { readonly timeline: number; readonly segmentBytes: number },
  folder: string,
): Promise<LocalLog> {
  const sealed = join(folder, '.sealed');
  await mkdir(folder, { recursive: true, mode: 0o700 });
  for (let first = 0; first < pieces.length; first += TOGETHER) {
    const some = pieces.slice(first, first + TOGETHER);
    const objects = some.map(({ object }) => object);
    await bring(store, objects, sealed);
    try {
      await unseal(
        keyPath(app),
        objects.map((object) => join(sealed, fileOf(object))),
        folder,
      );
    } catch (error) {
      throw named(error, objects);
    }
    for (const { file, object } of some) {
      const opened = join(folder, plainName(object));
      if (plainName(object) !== file) await rename(opened, join(folder, file));
      // The beginning of a segment may have been stored without the zeros that follow it.
      await truncate(join(folder, file), segment.segmentBytes);
    }
    await rm(sealed, { recursive: true, force: true });
  }
  return { folder, ...segment, files: pieces.map(({ file }) => file), end };
}

async function unpackInto(
  folder: string,
  store: Store,
  { note, snapshot = '' }: Base,
  signal: AbortSignal,
  see: Follower['see'],
): Promise<void> {
  const { argv, environment } = store.direct;
  const read = async (
    path: string,
    into: readonly (readonly string[])[],
    more: Pick<PipelineOptions, 'output' | 'hear'>,
  ): Promise<void> => {
    const { ok, why } = await pipeline([argv(['dump', snapshot, path]), ...into], {
      ...{ env: environment, timeout: LONG, signal },
      ...more,
    });
    if (ok) return;
    throw new BrokenCopy(
      `snapshot ${snapshot.slice(0, 8)}`,
      'changed',
      `The copy ${note.id} (snapshot ${snapshot.slice(0, 8)} of the ${store.name} repository) cannot be read:\n${why}`,
    );
  };
  // In blocks of 256 KiB: in those of 10, which are its own, it takes half as long again.
  const tar = ['tar', '--extract', '--file=-', '--blocking-factor=512', '--numeric-owner', '--same-permissions'];
  const names = ['--verbose', '--quoting-style=literal'];
  const unpack = (path: string, below: string): Promise<void> =>
    read(path, [[...tar, ...names, `--directory=${join(folder, below)}`]], { hear: (name) => see(join(below, name)) });
  const [data, ...tablespaces] = note.archives;
  await unpack(data?.path ?? '', '');
  const { uid, gid } = await stat(join(folder, 'PG_VERSION'));
  const own = (path: string): Promise<void> => chown(path, uid, gid);
  for (const { path, oid = '' } of tablespaces) {
    const place = join('pg_tblspc', oid);
    await mkdir(join(folder, place), { recursive: true, mode: 0o700 });
    await own(join(folder, place));
    await unpack(path, place);
  }
  // It would have the server make links to where they were.
  if (tablespaces.length > 0) await rm(join(folder, 'tablespace_map'), { force: true });
  if (note.manifest === undefined) return;
  await read(note.manifest, [], { output: join(folder, 'backup_manifest') });
  await own(join(folder, 'backup_manifest'));
}

/**
 * Unpacks a base into an empty folder, with the owners that its files had. Tablespaces come to lie within the data
 * directory, where the server takes a folder as it takes a link: where they were before may be in use. Resolves with the
 * hashes of what was unpacked.
 */
export async function fetchBase(store: Store, base: Base, folder: string, signal: AbortSignal): Promise<Digests> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const { see, end } = follow(folder);
  try {
    await unpackInto(folder, store, base, signal, see);
  } finally {
    await end();
  }
  return end();
}
