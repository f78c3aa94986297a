import { DeployError } from '#core/errors';
import { segmentAt, segmentNumber } from './archive.ts';
import { type Base, type Catalogue, completeBases, type Stretch } from './catalogue.ts';
import { formatLsn, type Lsn, parseLsn } from './lsn.ts';
import { formatMoment, type Moment, parseMoment, type Target } from './target.ts';

/** A base that may lead to what is wanted, and up to where its log is to be read for it. */
export interface Candidate {
  readonly base: Base;
  /** Left out: up to its end. */
  readonly until?: Lsn;
}

/** Microseconds that the clocks of a host may be apart over a day. */
const TOLERANCE = 60_000_000n;

/** When a base can be restored from, at the earliest. */
export function beginsAt({ note }: Pick<Base, 'note'>): Moment {
  return parseMoment(note.at);
}

/** The complete bases, by the moment from which each can be restored. */
function inOrder(catalogue: Pick<Catalogue, 'bases'>): readonly Base[] {
  return [...completeBases(catalogue)].sort((one, other) => (beginsAt(one) < beginsAt(other) ? -1 : 1));
}

function refuse(message: string, hint: string): DeployError {
  return new DeployError('restore-refused', message, { hint });
}

/** The log of a base's generation behind it that no other base of it begins before. */
function upToNext(bases: readonly Base[], base: Base): Candidate {
  const next = bases.find(
    ({ note }) => note.generation === base.note.generation && parseLsn(note.stop) > parseLsn(base.note.stop),
  );
  return next === undefined ? { base } : { base, until: parseLsn(next.note.stop) };
}

/**
 * The bases that may lead to a target, the best first: the newest that was complete before it. Rejects with
 * `restore-refused` where there is none, and says what there is instead.
 */
export function candidatesFor(target: Target, catalogue: Pick<Catalogue, 'bases'>): readonly Candidate[] {
  const bases = inOrder(catalogue);
  const [oldest] = bases;
  if (oldest === undefined) {
    throw refuse('There is no complete copy to begin with.', 'Make one with `deploy backup now <environment>`.');
  }
  const newestFirst = [...bases].reverse();
  switch (target.kind) {
    case 'latest':
      return newestFirst.slice(0, 1).map((base) => ({ base }));
    case 'time': {
      const { moment } = target;
      const before = newestFirst.filter((base) => beginsAt(base) <= moment);
      if (before.length === 0) {
        throw refuse(
          `${formatMoment(moment)} is before all that is kept.`,
          `The oldest moment is ${oldest.note.at}; take that one or a later one.`,
        );
      }
      return before.map((base) => {
        // What was committed by then is in the log before whatever was begun later.
        const later = bases.find(
          (one) => one.note.generation === base.note.generation && beginsAt(one) > moment + TOLERANCE,
        );
        return later === undefined ? { base } : { base, until: parseLsn(later.note.stop) };
      });
    }
    case 'lsn': {
      const { lsn } = target;
      const before = newestFirst.filter(({ note, reaches }) => parseLsn(note.stop) <= lsn && lsn <= reaches);
      if (before.length > 0) return before.slice(0, 1).map((base) => ({ base }));
      const ranges = bases.map(({ note, reaches }) => `${note.stop} to ${formatLsn(reaches)}`);
      throw refuse(
        `The position ${formatLsn(lsn)} is in nothing that is kept.`,
        `There is: ${[...new Set(ranges)].join(', ')}.`,
      );
    }
    case 'name':
    case 'xid':
      return newestFirst.map((base) => upToNext(bases, base));
  }
}

/** A segment that is to be fetched: its name, and the object that holds it or its beginning. */
export interface Piece {
  readonly file: string;
  readonly object: string;
}

/** Log that goes on without a gap. */
export interface Range {
  readonly pieces: readonly Piece[];
  /** Up to where there is log. */
  readonly end: Lsn;
  /** The segment that should follow and is not there, though there is log after it. */
  readonly missing?: string;
}

/** The log of a stretch from a base on, as far as it goes without a gap, or as far as it is wanted. */
export function rangeOf({ objects }: Pick<Stretch, 'objects'>, { note }: Base, until?: Lsn): Range {
  const { segmentBytes, timeline } = note;
  const size = BigInt(segmentBytes);
  const first = parseLsn(note.start) / size;
  const closed = new Map<bigint, Piece>();
  const begun = new Map<bigint, Piece & { flushed: Lsn }>();
  for (const { object, log } of objects) {
    if (log.timeline !== timeline || log.kind === 'history') continue;
    const number = segmentNumber(log.file, segmentBytes);
    if (log.kind === 'segment') closed.set(number, { file: log.file, object });
    else if (log.flushed !== undefined && log.flushed > (begun.get(number)?.flushed ?? 0n)) {
      begun.set(number, { file: log.file, object, flushed: log.flushed });
    }
  }
  const last = [...closed.keys(), ...begun.keys()].reduce((most, one) => (one > most ? one : most), 0n);
  const pieces: Piece[] = [];
  for (let number = first; number <= last; number += 1n) {
    const piece = closed.get(number);
    if (piece === undefined) {
      const part = begun.get(number);
      const end = part?.flushed ?? number * size;
      const all = part === undefined ? pieces : [...pieces, { file: part.file, object: part.object }];
      return number === last
        ? { pieces: all, end }
        : { pieces: all, end, missing: segmentAt(timeline, number * size, segmentBytes) };
    }
    pieces.push(piece);
    if (until !== undefined && (number + 1n) * size >= until) return { pieces, end: (number + 1n) * size };
  }
  return { pieces, end: (last + 1n) * size };
}
