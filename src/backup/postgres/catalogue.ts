import type { Backups } from '#backup/engine';
import { tagOf } from '#backup/snapshots';
import type { Snapshot, Store, StoredObject } from '#backup/store/store';
import type { PostgresSource, RepositoryName } from '#protocol/backup';
import { gapsIn, parseWalName, plainName, segmentNumber, type WalName } from './archive.ts';
import { type Lsn, latestOf, parseLsn } from './lsn.ts';
import { type BaseNote, type DumpNote, type Fresh, type Note, notesPrefix, readNotes } from './notes.ts';

/** A copy of the files of a cluster, as one repository has it. */
export interface Base {
  readonly note: BaseNote;
  /** The object that the note was read from. */
  readonly object: string;
  /** Its snapshot; left out where the repository has none. */
  readonly snapshot?: string;
  /** Up to where the log goes on from it without a gap. */
  readonly reaches: Lsn;
  /** Why it cannot be restored by itself, for a person; empty where it can. */
  readonly lacks: readonly string[];
}

/** A dump, as one repository has it. */
export interface Dump {
  readonly note: DumpNote;
  readonly object: string;
  /** One for each of its files, in their order; left out where the repository has none. */
  readonly snapshots: readonly (string | undefined)[];
  readonly lacks: readonly string[];
}

/** The write-ahead log of one generation, as one repository has it. */
export interface Stretch {
  readonly systemId: string;
  readonly generation: string;
  readonly objects: readonly { readonly object: string; readonly size: number; readonly log: WalName }[];
}

/** All that one repository has of a source. */
export interface Catalogue {
  readonly store: RepositoryName;
  /** Oldest first. */
  readonly bases: readonly Base[];
  readonly dumps: readonly Dump[];
  readonly stretches: readonly Stretch[];
  /** Snapshots of ours that nothing was noted of: their makers were interrupted, or are at work. */
  readonly orphans: readonly Snapshot[];
  /** Notes that cannot be read, and why. */
  readonly broken: readonly { readonly object: string; readonly why: string }[];
}

/** Where the write-ahead log of a source is among a repository's objects. */
export function logPrefix(source: string): string {
  return `wal/${source}`;
}

/** The generations of log that objects below `wal/<source>` make up, oldest first. What is not ours is left out. */
export function stretchesOf(objects: readonly StoredObject[]): readonly Stretch[] {
  const found = new Map<string, Stretch['objects'][number][]>();
  for (const { name, size } of objects) {
    const [, , systemId, generation, file, ...rest] = name.split('/');
    if (systemId === undefined || generation === undefined || file === undefined || rest.length > 0) continue;
    const log = parseWalName(plainName(name));
    if (log === undefined) continue;
    const key = `${systemId}/${generation}`;
    found.set(key, [...(found.get(key) ?? []), { object: name, size, log }]);
  }
  return [...found]
    .map(([key, all]) => ({ systemId: key.split('/')[0] ?? '', generation: key.split('/')[1] ?? '', objects: all }))
    .sort((one, other) => (one.generation < other.generation ? -1 : 1));
}

/** The closed segments of a stretch, by name, each once. */
export function segmentsOf({ objects }: Pick<Stretch, 'objects'>): readonly string[] {
  const files = objects.flatMap(({ log }) => (log.kind === 'segment' ? [log.file] : []));
  return [...new Set(files)].sort();
}

/**
 * Up to where the log of a stretch goes on without a gap from the segment that holds a position; the position itself
 * where that segment is not there.
 */
export function reachOf({ objects }: Pick<Stretch, 'objects'>, from: Lsn, segmentBytes: number): Lsn {
  const first = from / BigInt(segmentBytes);
  const closed = segmentsOf({ objects }).filter((file) => segmentNumber(file, segmentBytes) >= first);
  const gaps = new Set(gapsIn(closed, segmentBytes).map(({ before }) => before));
  const inOrder = [...closed].sort((one, other) =>
    segmentNumber(one, segmentBytes) < segmentNumber(other, segmentBytes) ? -1 : 1,
  );
  let next = first;
  for (const file of inOrder) {
    if (gaps.has(file) || segmentNumber(file, segmentBytes) > next) break;
    next = segmentNumber(file, segmentBytes) + 1n;
  }
  const begun = objects.flatMap(({ log }) =>
    log.kind === 'partial' && log.flushed !== undefined && segmentNumber(log.file, segmentBytes) === next
      ? [log.flushed]
      : [],
  );
  const whole = next === first ? from : next * BigInt(segmentBytes);
  return latestOf([whole, ...begun]);
}

function baseOf(note: BaseNote, object: string, snapshots: readonly Snapshot[], stretches: readonly Stretch[]): Base {
  const { id, kind, systemId, generation, segmentBytes } = note;
  const snapshot = snapshots.find((one) => tagOf(one, 'base') === id && tagOf(one, 'kind') === kind)?.id;
  const stretch = stretches.find((one) => one.systemId === systemId && one.generation === generation);
  const reaches = reachOf(stretch ?? { objects: [] }, parseLsn(note.start), segmentBytes);
  const lacks = [
    ...(snapshot === undefined ? ['its snapshot'] : []),
    ...(reaches < parseLsn(note.stop) ? [`the write-ahead log from ${note.start} to ${note.stop}`] : []),
  ];
  return { note, object, reaches, lacks, ...(snapshot === undefined ? {} : { snapshot }) };
}

/** An incremental is nothing without its full. */
function withFull(base: Base, bases: readonly Base[]): Base {
  const { note } = base;
  if (note.kind === 'full') return base;
  const full = bases.find((one) => one.note.kind === 'full' && one.note.id === note.of);
  if (full?.snapshot !== undefined) return base;
  return { ...base, lacks: [...base.lacks, `the full copy ${note.of}`] };
}

function dumpOf(note: DumpNote, object: string, snapshots: readonly Snapshot[]): Dump {
  const own = snapshots.filter((one) => tagOf(one, 'base') === note.id && tagOf(one, 'kind') === 'dump');
  const each = note.files.map(({ path }) => own.find(({ paths }) => paths.includes(path))?.id);
  const lacks = note.files.flatMap(({ path }, index) => (each[index] === undefined ? [path] : []));
  return { note, object, snapshots: each, lacks };
}

/** A repository's catalogue from what it holds. */
export function catalogueOf(
  store: RepositoryName,
  snapshots: readonly Snapshot[],
  notes: readonly { readonly object: string; readonly note: Note }[],
  log: readonly StoredObject[],
  broken: Catalogue['broken'] = [],
): Catalogue {
  const stretches = stretchesOf(log);
  const inOrder = [...notes].sort((one, other) => (one.note.id < other.note.id ? -1 : 1));
  const bases = inOrder.flatMap(({ note, object }) =>
    note.kind === 'dump' ? [] : [baseOf(note, object, snapshots, stretches)],
  );
  const dumps = inOrder.flatMap(({ note, object }) => (note.kind === 'dump' ? [dumpOf(note, object, snapshots)] : []));
  const noted = new Set(notes.map(({ note }) => note.id));
  const orphans = snapshots.filter((one) => !noted.has(tagOf(one, 'base') ?? ''));
  return { store, bases: bases.map((base) => withFull(base, bases)), dumps, stretches, orphans, broken };
}

/** Whether a copy can be restored. */
export function isComplete({ lacks }: Pick<Base, 'lacks'>): boolean {
  return lacks.length === 0;
}

/** The complete bases, oldest first. */
export function completeBases({ bases }: Pick<Catalogue, 'bases'>): readonly Base[] {
  return bases.filter(isComplete);
}

/** Reads what a repository has of a source. */
export async function readCatalogue(
  backups: Backups,
  { name }: Pick<PostgresSource, 'name'>,
  store: Store,
  fresh: Fresh = {},
): Promise<Catalogue> {
  const [snapshots, objects, log] = await Promise.all([
    store.snapshots([`source=${name}`]),
    store.list(notesPrefix(name)),
    store.list(logPrefix(name)),
  ]);
  const { notes, broken } = await readNotes(backups, name, store, objects, fresh);
  return catalogueOf(store.name, snapshots, notes, log, broken);
}
