import { expendable, type Keeping } from '#backup/retention';
import type { Snapshot } from '#backup/store/store';
import { plainName, segmentNumber, type WalName } from './archive.ts';
import { type Base, type Catalogue, completeBases, type Dump, isComplete, type Stretch } from './catalogue.ts';
import { parseLsn } from './lsn.ts';

/** Milliseconds by which a copy may be ahead of the clock and still be believed. */
const AHEAD = 86_400_000;

/** Beginnings of one segment that stay, of those that another one goes further than. */
const BEGINNINGS = 2;

/** What may go of a source in a repository. */
export interface Expired {
  readonly bases: readonly Base[];
  readonly dumps: readonly Dump[];
  /** Snapshots that nothing was ever noted of. */
  readonly orphans: readonly Snapshot[];
  /** Objects of write-ahead log. */
  readonly log: readonly string[];
}

function kept<C extends Base | Dump>(copies: readonly C[], keeping: Keeping, now: number): readonly C[] {
  const ofNow = copies.filter(({ note }) => Date.parse(note.at) <= now + AHEAD);
  const complete = ofNow.filter(isComplete).map((copy) => ({ copy, complete: true, ...copy.note }));
  const going = new Set<C>(expendable(complete, keeping).map(({ copy }) => copy));
  const [oldest] = complete.filter(({ copy }) => !going.has(copy)).sort((one, other) => (one.at < other.at ? -1 : 1));
  // What is not complete may yet be of use to somebody, up to the age that complete ones reach.
  const useless = ({ note, lacks }: C) => oldest === undefined || lacks.length === 0 || note.at >= oldest.at;
  return copies.filter((copy) => !going.has(copy) && (!ofNow.includes(copy) || useless(copy)));
}

/** The beginnings of segments that tell nothing which is not told by another object. */
function supersededIn({ objects }: Stretch): readonly string[] {
  const closed = new Set(objects.flatMap(({ log }) => (log.kind === 'segment' ? [log.file] : [])));
  const begun = new Map<string, { object: string; flushed: bigint }[]>();
  for (const { object, log } of objects) {
    if (log.kind !== 'partial' || log.flushed === undefined) continue;
    begun.set(log.file, [...(begun.get(log.file) ?? []), { object, flushed: log.flushed }]);
  }
  return [...begun].flatMap(([file, all]) => {
    const furthest = [...all].sort((one, other) => (one.flushed > other.flushed ? -1 : 1));
    return furthest.slice(closed.has(file) ? 0 : BEGINNINGS).map(({ object }) => object);
  });
}

function isBefore(log: WalName, base: Base): boolean {
  if (log.kind === 'history') return false;
  const { start, segmentBytes } = base.note;
  return segmentNumber(log.file, segmentBytes) < parseLsn(start) / BigInt(segmentBytes);
}

function logOf({ stretches }: Catalogue, staying: readonly Base[]): readonly string[] {
  const newest =
    staying
      .filter(isComplete)
      .map(({ note }) => note.generation)
      .sort()
      .at(-1) ?? '';
  return stretches.flatMap((stretch) => {
    const { systemId, generation, objects } = stretch;
    // Its first copy is yet to come.
    if (generation > newest) return [];
    const needing = staying.filter(({ note }) => note.systemId === systemId && note.generation === generation);
    const unneeded = objects.filter(({ log }) =>
      needing.length === 0 ? log.kind !== 'history' : needing.every((base) => isBefore(log, base)),
    );
    return [...new Set([...unneeded.map(({ object }) => object), ...supersededIn(stretch)])];
  });
}

/**
 * What may go, by the policy: everything that no moment needs which is kept. Where a note cannot be read, nobody knows
 * what its copy needs: then only other copies go, and no log.
 */
export function expired(catalogue: Catalogue, keeping: Keeping, now: number): Expired {
  const { bases, dumps, broken } = catalogue;
  const fulls = kept(
    bases.filter(({ note }) => note.kind === 'full'),
    keeping,
    now,
  );
  const ids = new Set(fulls.map(({ note }) => note.id));
  const staying = bases.filter((base) =>
    base.note.kind === 'full' ? fulls.includes(base) : ids.has(base.note.of) || Date.parse(base.note.at) > now + AHEAD,
  );
  const oldest = completeBases({ bases: staying })
    .map(({ note }) => note.at)
    .sort()[0];
  if (oldest === undefined) return { bases: [], dumps: [], orphans: [], log: [] };
  const unread = new Set(broken.map(({ object }) => plainName(object)));
  const isOfNobody = ({ time, tags }: Snapshot) =>
    Date.parse(time) < Date.parse(oldest) && !tags.some((tag) => unread.has(tag.replace(/^base=/, '')));
  const keptDumps = kept(dumps, keeping, now);
  return {
    bases: bases.filter((base) => !staying.includes(base)),
    dumps: dumps.filter((dump) => !keptDumps.includes(dump)),
    orphans: catalogue.orphans.filter(isOfNobody),
    log: broken.length > 0 ? [] : logOf(catalogue, staying),
  };
}
