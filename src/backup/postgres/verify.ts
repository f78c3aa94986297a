import { createHash } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Backups, Done } from '#backup/engine';
import { keyPath } from '#backup/places';
import { BrokenCopy, unseal } from '#backup/seal';
import { checkSnapshots, PARTS, partOf, tagOf } from '#backup/snapshots';
import { spool } from '#backup/spool';
import type { Store } from '#backup/store/store';
import type { PostgresSource } from '#protocol/backup';
import { gapsIn } from './archive.ts';
import { type Catalogue, readCatalogue, type Stretch, segmentsOf } from './catalogue.ts';
import { notesPrefix } from './notes.ts';

/** Objects that are brought here and opened at once. */
const AT_ONCE = 32;

/** Bytes of a segment where no copy tells otherwise: what PostgreSQL is built with. */
const SEGMENT = 16 * 1024 ** 2;

/** Whether an object is looked at in a part of the rotation: each is in one of them, whatever else there is. */
export function isInPart(object: string, part: number): boolean {
  return (createHash('sha256').update(object).digest().readUInt16BE(0) % PARTS) + 1 === part;
}

/** How the log of one generation stands. */
export interface Continuity {
  readonly generation: string;
  readonly found: number;
  /** For a person: between which segments there is nothing. */
  readonly missing: readonly string[];
}

/** Whether the log of a generation goes on without a gap, up to the beginning of the segment that is written at last. */
export function continuityOf(stretch: Stretch, segmentBytes: number): Continuity {
  const closed = segmentsOf(stretch);
  const begun = stretch.objects.flatMap(({ log }) => (log.kind === 'partial' ? [log.file] : []));
  const last = begun.sort().at(-1);
  // The beginning of a segment that others follow is left over from before it was closed, and stands in for none.
  const isNewest = last !== undefined && last > (closed.at(-1) ?? '');
  const gaps = gapsIn(isNewest ? [...closed, last] : closed, segmentBytes);
  return {
    generation: `${stretch.systemId}/${stretch.generation}`,
    found: closed.length,
    missing: gaps.map(({ after, before }) => `between ${after} and ${before}`),
  };
}

/** Milliseconds for which what belongs to a copy may still be on its way. */
const YOUNG = 3_600_000;

/** What lists alone tell of a repository: copies without what they need, log with gaps. */
export function faultsIn(catalogue: Catalogue, now: number): readonly string[] {
  const { bases, dumps, stretches, orphans, broken } = catalogue;
  const isYoung = (at: string): boolean => Math.abs(now - Date.parse(at)) < YOUNG;
  const bytes = (generation: string) =>
    bases.find(({ note }) => note.generation === generation)?.note.segmentBytes ?? SEGMENT;
  return [
    ...broken.map(({ object, why }) => `${object}: ${why}`),
    ...[...bases, ...dumps].flatMap(({ note, lacks }) =>
      lacks.length === 0 || isYoung(note.at) ? [] : [`the ${note.kind} copy ${note.id} lacks ${lacks.join(' and ')}`],
    ),
    ...orphans
      .filter(({ time }) => !isYoung(time))
      .map((one) => `the snapshot ${one.id} of the copy ${tagOf(one, 'base') ?? 'unknown'} has no note`),
    ...stretches.flatMap((stretch) =>
      continuityOf(stretch, bytes(stretch.generation)).missing.map(
        (where) => `write-ahead log is missing ${where} of ${stretch.generation}`,
      ),
    ),
  ];
}

/** Opens objects, and names those that are not as they were written. */
async function openAll(
  { settings: { app } }: Backups,
  store: Store,
  objects: readonly string[],
  folder: string,
): Promise<readonly string[]> {
  const faults: string[] = [];
  for (let from = 0; from < objects.length; from += AT_ONCE) {
    const some = objects.slice(from, from + AT_ONCE);
    try {
      await mkdir(folder, { recursive: true, mode: 0o700 });
      await store.fetch(some, folder);
      for (const object of some) {
        await unseal(keyPath(app), [join(folder, basename(object))], join(folder, 'opened')).catch((error: unknown) => {
          if (!(error instanceof BrokenCopy)) throw error;
          faults.push(`${object}: ${error.message}`);
        });
      }
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }
  return faults;
}

/**
 * Looks through what a repository has of a cluster: the day's part of the snapshots and of the log is read whole, every
 * note is opened, and everything that should be there is. Names each object that is broken or missing.
 */
export async function verify(
  backups: Backups,
  source: PostgresSource,
  store: Store,
  now: number = Date.now(),
): Promise<readonly Done[]> {
  const { app } = backups.settings;
  const part = partOf(now);
  const catalogue = await readCatalogue(backups, source, store);
  const notes = (await store.list(notesPrefix(source.name))).map(({ name }) => name);
  const log = catalogue.stretches.flatMap(({ objects }) => objects.map(({ object }) => object));
  const day = log.filter((object) => isInPart(object, part));
  await using folder = await spool(app, source.name, `verify-${store.name}`);
  const opened = await openAll(backups, store, [...notes, ...day], folder.path);
  const restic = await checkSnapshots(app, store, now);
  const faults = [...new Set([...faultsIn(catalogue, now), ...opened, ...(restic === undefined ? [] : [restic])])];
  const generations = catalogue.stretches.map((stretch) =>
    continuityOf(
      stretch,
      catalogue.bases.find(({ note }) => note.generation === stretch.generation)?.note.segmentBytes ?? SEGMENT,
    ),
  );
  const details = { source: source.name, part, opened: notes.length + day.length, generations };
  return [{ repository: store.name, details, ...(faults.length === 0 ? {} : { why: faults.join('\n') }) }];
}
