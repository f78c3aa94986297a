import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { printWalName, segmentFile } from '#backup/postgres/archive';
import { catalogueOf } from '#backup/postgres/catalogue';
import { candidatesFor, rangeOf } from '#backup/postgres/choose';
import { formatLsn } from '#backup/postgres/lsn';
import type { BaseNote } from '#backup/postgres/notes';
import { formatMoment, type Moment, parseMoment, type Target } from '#backup/postgres/target';

const SEGMENT = 16 * 1024 ** 2;
const SYSTEM = '7710726407008321559';
const NOON = parseMoment('2026-11-21T12:00:00Z');
const minute = (n: number): Moment => NOON + BigInt(n) * 60_000_000n;
const position = (segment: number, offset = 0x28): string =>
  formatLsn(BigInt(segment) * BigInt(SEGMENT) + BigInt(offset));

/** A full copy that was taken within one segment. */
function note(id: string, at: Moment, segment: number, generation: string): BaseNote {
  return {
    ...{ kind: 'full', id, version: 170_011, image: 'postgres@sha256:0', bytes: 1, at: formatMoment(at) },
    ...{ systemId: SYSTEM, generation, timeline: 1, segmentBytes: SEGMENT },
    ...{ start: position(segment), stop: position(segment, 0x158), archives: [{ path: '/a.tar' }], withLog: true },
    counts: [],
  };
}

function object(generation: string, plain: string): { name: string; size: number } {
  return { name: `wal/db/${SYSTEM}/${generation}/${plain}.0123456789abcdef.zst.age`, size: 1000 };
}

const closed = (generation: string, ...segments: readonly number[]) =>
  segments.map((number) => object(generation, segmentFile(1, BigInt(number), SEGMENT)));

function partial(generation: string, segment: number, offset: number) {
  const flushed = BigInt(segment) * BigInt(SEGMENT) + BigInt(offset);
  const file = segmentFile(1, BigInt(segment), SEGMENT);
  return object(generation, printWalName({ kind: 'partial', timeline: 1, file, flushed }));
}

function catalogue(notes: readonly BaseNote[], log: readonly { name: string; size: number }[]) {
  const snapshots = notes.map(({ id, kind, at }) => ({
    id: `snapshot-${id}`,
    time: at,
    tags: ['source=db', `kind=${kind}`, `base=${id}`],
    paths: ['/a.tar'],
  }));
  return catalogueOf(
    'offsite',
    snapshots,
    notes.map((one) => ({ object: `bases/db/${one.id}`, note: one })),
    log,
  );
}

const TWO = catalogue(
  [note('one', minute(0), 2, 'first'), note('two', minute(60), 5, 'first'), note('three', minute(120), 9, 'second')],
  [...closed('first', 2, 3, 4, 5, 6), partial('first', 7, 0x400), ...closed('second', 9), partial('second', 10, 0x200)],
);

const ids = (target: Target): readonly string[] => candidatesFor(target, TWO).map(({ base }) => base.note.id);
const time = (moment: Moment): Target => ({ kind: 'time', moment });

describe('where restoring begins', () => {
  test('is the newest copy for the end of all, and the newest before a moment', () => {
    expect(ids({ kind: 'latest' })).toEqual(['three']);
    expect(ids(time(minute(0)))).toEqual(['one']);
    expect(ids(time(minute(60) - 1n))[0]).toBe('one');
    expect(ids(time(minute(60)))[0]).toBe('two');
    expect(ids(time(minute(119)))[0]).toBe('two');
    expect(ids(time(minute(500)))[0]).toBe('three');
  });

  test('is refused for a moment before all, with the oldest there is', () => {
    expect(() => candidatesFor(time(minute(0) - 1n), TWO)).toThrow(
      expect.objectContaining({ code: 'restore-refused', hint: expect.stringContaining('2026-11-21T12:00:00.000Z') }),
    );
  });

  test('is refused where no copy is complete', () => {
    const nothing = catalogue([note('one', minute(0), 2, 'first')], closed('first', 3, 4));
    expect(() => candidatesFor({ kind: 'latest' }, nothing)).toThrow(
      expect.objectContaining({ code: 'restore-refused', hint: expect.stringContaining('backup now') }),
    );
  });

  test('is a copy whose log holds a position', () => {
    const at = (segment: number, offset: number): Target => ({
      kind: 'lsn',
      lsn: BigInt(segment) * BigInt(SEGMENT) + BigInt(offset),
    });
    expect(ids(at(4, 0))).toEqual(['one']);
    expect(ids(at(7, 0x400))).toEqual(['two']);
    expect(ids(at(10, 0x10))).toEqual(['three']);
    for (const nowhere of [at(2, 0x28), at(7, 0x401), at(8, 0), at(11, 0)]) {
      expect(() => candidatesFor(nowhere, TWO)).toThrow(expect.objectContaining({ code: 'restore-refused' }));
    }
  });

  test('is any copy for a name, the newest first, each with the log up to the next', () => {
    const found = candidatesFor({ kind: 'name', name: 'release 4f2a' }, TWO);
    expect(found.map(({ base, until }) => [base.note.id, until])).toEqual([
      ['three', undefined],
      ['two', undefined],
      ['one', 5n * BigInt(SEGMENT) + 0x158n],
    ]);
  });

  test('whatever is asked for by time, no copy begins after it and no complete one lies between', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(600), { minLength: 1, maxLength: 8 }), fc.nat(700), (minutes, wanted) => {
        const moments = [...new Set(minutes)];
        const notes = moments.map((at, index) => note(`n${at}`, minute(at), 2 + index, 'first'));
        const all = catalogue(notes, closed('first', ...moments.map((_, index) => 2 + index)));
        const before = moments.filter((at) => at <= wanted);
        if (before.length === 0) {
          expect(() => candidatesFor(time(minute(wanted)), all)).toThrow();
        } else {
          const [first] = candidatesFor(time(minute(wanted)), all);
          expect(first?.base.note.id).toBe(`n${Math.max(...before)}`);
        }
      }),
    );
  });
});

describe('the log that is fetched', () => {
  const [base] = catalogue([note('one', minute(0), 2, 'g')], closed('g', 2)).bases;
  const range = (log: readonly { name: string; size: number }[], until?: bigint) => {
    const [stretch] = catalogue([], log).stretches;
    if (base === undefined || stretch === undefined) throw new Error('nothing is there');
    return rangeOf(stretch, base, until);
  };
  const numbers = ({ pieces }: ReturnType<typeof range>) =>
    pieces.map(({ file }) => Number.parseInt(file.slice(16), 16));

  test('goes on to the end of the newest beginning of a segment', () => {
    const found = range([...closed('g', 1, 2, 3), partial('g', 4, 0x100), partial('g', 4, 0x900)]);
    expect(numbers(found)).toEqual([2, 3, 4]);
    expect(found.end).toBe(4n * BigInt(SEGMENT) + 0x900n);
    expect(found.missing).toBeUndefined();
    expect(found.pieces.at(-1)?.object).toContain('0900');
  });

  test('is a whole segment rather than its beginning', () => {
    const found = range([...closed('g', 2, 3), partial('g', 3, 0x100)]);
    expect(found.pieces.at(-1)?.object).not.toContain('partial');
    expect(found.end).toBe(4n * BigInt(SEGMENT));
  });

  test('ends where a segment is missing, and names it', () => {
    const found = range([...closed('g', 2, 3, 5), partial('g', 6, 0x100)]);
    expect(numbers(found)).toEqual([2, 3]);
    expect(found.missing).toBe('000000010000000000000004');
    const begun = range([...closed('g', 2, 4), partial('g', 3, 0x100)]);
    expect(begun.missing).toBe('000000010000000000000003');
    expect(begun.end).toBe(3n * BigInt(SEGMENT) + 0x100n);
  });

  test('reaches no further than is wanted', () => {
    expect(numbers(range(closed('g', 2, 3, 4, 5), 4n * BigInt(SEGMENT)))).toEqual([2, 3]);
    expect(range(closed('g', 2, 4, 5), 3n * BigInt(SEGMENT)).missing).toBeUndefined();
  });
});
