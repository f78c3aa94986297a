import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Catalogue, catalogueOf, completeBases } from '#backup/postgres/catalogue';
import { expired } from '#backup/postgres/expire';
import { parseLsn } from '#backup/postgres/lsn';
import type { Note } from '#backup/postgres/notes';
import type { Snapshot } from '#backup/store/store';
import {
  aBase,
  aDump,
  aSnapshot,
  historyOf,
  idOf,
  MEGABYTES_16,
  partialOf,
  segmentsOf,
  sized,
} from '#test/support/stored-copies';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const BEGIN = Date.parse('2026-01-01T00:00:00Z');
const KEEPING = { keep: 30 * 86_400, atLeast: 3 };

interface Held {
  readonly snapshots: readonly Snapshot[];
  readonly notes: readonly { readonly object: string; readonly note: Note }[];
  readonly log: readonly string[];
}

const read = ({ snapshots, notes, log }: Held, broken: Catalogue['broken'] = []): Catalogue =>
  catalogueOf('local', snapshots, notes, sized(log), broken);

/** What is left of it once retention has run. */
function leftOf(held: Held, keeping: { keep: number; atLeast: number }, now: number): Held {
  const { bases, dumps, orphans, log } = expired(read(held), keeping, now);
  const objects = new Set([...bases, ...dumps].map(({ object }) => object));
  const ids = new Set<string | undefined>([
    ...bases.map(({ snapshot }) => snapshot),
    ...dumps.flatMap(({ snapshots }) => snapshots),
    ...orphans.map(({ id }) => id),
  ]);
  return {
    snapshots: held.snapshots.filter(({ id }) => !ids.has(id)),
    notes: held.notes.filter(({ object }) => !objects.has(object)),
    log: held.log.filter((name) => !log.includes(name)),
  };
}

const generation = (day: number): string => idOf(BEGIN + day * DAY);

/** One segment of log an hour from a generation's first day to its last, and a full at two each night but some. */
function nights(from: number, to: number, failed: readonly number[] = [], name = generation(from)): Held {
  const days = Array.from({ length: to - from + 1 }, (_, index) => from + index).filter((day) => !failed.includes(day));
  const notes = days.map((day) => {
    const segment = day * 24 + 2;
    return aBase(idOf(BEGIN + segment * HOUR), { generation: name, segment });
  });
  return {
    snapshots: notes.map(({ note }) => aSnapshot(note)),
    notes,
    log: [...segmentsOf(name, from * 24, to * 24 + 23), historyOf(name, 2)],
  };
}

const join = (...all: readonly Held[]): Held => ({
  snapshots: all.flatMap(({ snapshots }) => snapshots),
  notes: all.flatMap(({ notes }) => notes),
  log: all.flatMap(({ log }) => log),
});
const on = (day: number): number => BEGIN + day * DAY + 6 * HOUR;
const daysOf = (held: Held): readonly number[] =>
  completeBases(read(held)).map(({ note }) => Math.floor((Date.parse(note.at) - BEGIN) / DAY));

describe('what may go of a cluster', () => {
  test('fulls behind the window but the one that covers its beginning, and the log before that one', () => {
    const left = leftOf(nights(0, 40), KEEPING, on(40));
    expect(daysOf(left)[0]).toBe(10);
    expect(daysOf(left).at(-1)).toBe(40);
    // Of 41 days, those of the 10 that went and two hours of the eleventh.
    expect(left.log).toEqual([...segmentsOf(generation(0), 10 * 24 + 2, 40 * 24 + 23), historyOf(generation(0), 2)]);
  });

  test('nothing after fifteen failed nights, and the last good ones survive a clock that is forty days wrong', () => {
    const failing = Array.from({ length: 15 }, (_, index) => 21 + index);
    const held = nights(10, 35, failing);
    for (const now of [35, 75, -5]) expect(daysOf(leftOf(held, KEEPING, on(now)))).toEqual(daysOf(held));
  });

  test('a copy that a wrong clock has dated ahead is no measure, and is not lost either', () => {
    const held = join(nights(0, 20), nights(61, 61, [], generation(0)));
    expect(daysOf(leftOf(held, KEEPING, on(21)))).toEqual(daysOf(held));
    // While the clock still is wrong, it may take the half of them, and never the last three.
    let left = held;
    for (let week = 0; week < 20; week += 1) left = leftOf(left, KEEPING, on(62));
    expect(daysOf(left)).toEqual([19, 20, 61]);
  });

  test('a generation goes with its last copy, but not its histories, and not one whose first copy is yet to come', () => {
    const [old, lived, young] = [nights(0, 1), nights(2, 60), nights(61, 61, [61])];
    let left = join(old, lived, young);
    for (let week = 0; week < 8; week += 1) left = leftOf(left, KEEPING, on(61));
    expect(left.log).not.toContain(old.log[0]);
    expect(left.log).toContain(historyOf(generation(0), 2));
    for (const name of young.log) expect(left.log).toContain(name);
  });

  test('incrementals go and stay with their full', () => {
    const held = nights(0, 40);
    const incrementals = held.notes.map(({ note }) =>
      aBase(idOf(Date.parse(note.at) + 6 * HOUR), {
        generation: generation(0),
        segment: Number(parseLsn('start' in note ? note.start : '0/0') / BigInt(MEGABYTES_16)) + 6,
        of: note.id,
      }),
    );
    const both = join(held, {
      notes: incrementals,
      snapshots: incrementals.map(({ note }) => aSnapshot(note)),
      log: [],
    });
    const kinds = read(leftOf(both, KEEPING, on(40))).bases.map(({ note }) => note.kind);
    expect(kinds.filter((kind) => kind === 'full')).toHaveLength(31);
    expect(kinds.filter((kind) => kind === 'incremental')).toHaveLength(31);
  });

  test('dumps by the same policy, and what was never noted once it is older than all that stays', () => {
    const dumps = [0, 7, 14, 21, 28, 35, 42, 49].map((day) => aDump(idOf(on(day))));
    const files = dumps.flatMap(({ note }) => note.files.map(({ path }) => aSnapshot(note, path)));
    const [early, late] = [
      aSnapshot(aBase(idOf(on(3)), { generation: generation(0), segment: 3 }).note),
      aSnapshot(aBase(idOf(on(48)), { generation: generation(0), segment: 3 }).note),
    ];
    const left = leftOf(
      join(nights(0, 50), { notes: dumps, snapshots: [...files, early, late], log: [] }),
      KEEPING,
      on(50),
    );
    const { dumps: kept, orphans } = read(left);
    expect(kept.map(({ note }) => note.at)).toEqual(
      [14, 21, 28, 35, 42, 49].map((day) => new Date(on(day)).toISOString()),
    );
    expect(orphans).toEqual([late]);
  });

  test('a note that cannot be read keeps its snapshot, and all log', () => {
    const held = nights(0, 40);
    const [first, ...rest] = held.notes;
    if (first === undefined) throw new Error('there are notes');
    const catalogue = read({ ...held, notes: rest }, [{ object: first.object, why: 'it was changed' }]);
    const { orphans, log } = expired(catalogue, KEEPING, on(40));
    expect(catalogue.orphans).toHaveLength(1);
    expect({ orphans, log }).toEqual({ orphans: [], log: [] });
  });

  test('beginnings of segments that others go further than, but the last two', () => {
    const held = nights(0, 3);
    const closed = ['0/3000100', '0/3000200'].map((flushed) => partialOf(generation(0), 3, flushed));
    const begun = ['0/60000100', '0/60000200', '0/60000300'].map((flushed) => partialOf(generation(0), 96, flushed));
    const left = leftOf({ ...held, log: [...held.log, ...closed, ...begun] }, KEEPING, on(3));
    const partials = left.log.filter((name) => name.includes('partial'));
    expect(partials).toEqual(begun.slice(1));
  });

  test('nothing at all while there is no complete copy', () => {
    const held = { ...nights(0, 90), snapshots: [] };
    expect(leftOf(held, KEEPING, on(90))).toEqual(held);
  });
});

/** Generations of some days each, with nights that failed, copies that are not complete, and incrementals. */
const histories = fc
  .array(
    fc.record({
      length: fc.integer({ min: 1, max: 20 }),
      nights: fc.array(fc.constantFrom('full', 'incremental', 'unfinished', 'failed'), {
        minLength: 20,
        maxLength: 20,
      }),
    }),
    { minLength: 1, maxLength: 5 },
  )
  .map((generations): Held => {
    let day = 0;
    const all: Held[] = [];
    for (const { length, nights: kinds } of generations) {
      const name = generation(day);
      let full: string | undefined;
      const notes: Held['notes'][number][] = [];
      const snapshots: Snapshot[] = [];
      for (let night = 0; night < length; night += 1) {
        const kind = kinds[night];
        const segment = (day + night) * 24 + 2;
        if (kind === 'failed' || (kind === 'incremental' && full === undefined)) continue;
        const id = idOf(BEGIN + segment * HOUR);
        const copy = aBase(id, {
          generation: name,
          segment,
          ...(kind === 'incremental' && full !== undefined ? { of: full } : {}),
        });
        notes.push(copy);
        if (kind === 'unfinished') continue;
        if (kind === 'full') full = id;
        snapshots.push(aSnapshot(copy.note));
      }
      all.push({ notes, snapshots, log: [...segmentsOf(name, day * 24, (day + length) * 24 - 1), historyOf(name, 2)] });
      day += length;
    }
    return join(...all);
  });

/** Whether what was so at the end of an hour can be restored. */
const restorable = (catalogue: Catalogue, hour: number): boolean => {
  const position = (BigInt(hour) + 1n) * BigInt(MEGABYTES_16);
  const moment = BEGIN + (hour + 1) * HOUR;
  return completeBases(catalogue).some(
    ({ note, reaches }) => Date.parse(note.at) <= moment && parseLsn(note.stop) <= position && position <= reaches,
  );
};

test('whatever there is and however wrong the clock, every kept moment stays, and so do the last copies', () => {
  void fc.assert(
    fc.property(
      histories,
      fc.record({ keep: fc.integer({ min: 0, max: 40 * 86_400 }), atLeast: fc.integer({ min: 1, max: 4 }) }),
      fc.integer({ min: -40, max: 40 }),
      fc.integer({ min: 1, max: 6 }),
      (held, keeping, wrong, runs) => {
        const before = read(held);
        const fullsOf = (catalogue: Catalogue) => completeBases(catalogue).filter(({ note }) => note.kind === 'full');
        const last = fullsOf(before).at(-1);
        const now = (last === undefined ? BEGIN : Date.parse(last.note.at)) + wrong * DAY;
        let left = held;
        for (let run = 0; run < runs; run += 1) left = leftOf(left, keeping, now);
        const then = read(left);
        const [full, still] = [fullsOf(before), fullsOf(then)];
        expect(still.length).toBeGreaterThanOrEqual(Math.min(keeping.atLeast, full.length));
        expect(still.at(-1)?.note.id).toBe(full.at(-1)?.note.id);
        expect(left.log.filter((name) => name.includes('history'))).toEqual(
          held.log.filter((name) => name.includes('history')),
        );
        if (last === undefined) return;
        const newest = Math.floor((Date.parse(last.note.at) - BEGIN) / HOUR);
        for (let hour = newest + 100; hour >= Math.max(0, newest - keeping.keep / 3600); hour -= 1) {
          if (restorable(before, hour)) expect(restorable(then, hour), `hour ${hour}`).toBe(true);
        }
      },
    ),
    { numRuns: 40 },
  );
});
