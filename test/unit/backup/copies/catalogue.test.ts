import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { catalogueOf, idOf, momentOf, nearest, type Stored } from '#backup/copies/catalogue';
import { missingOf } from '#backup/copies/take';

const DAY = 86_400_000;
const START = Date.parse('2026-05-04T03:20:00.123Z');
const on = (day: number): string => idOf(new Date(START + day * DAY));

const snapshot = (day: number, id = on(day)) => ({
  id: `snapshot ${day}`,
  time: '2026-05-04T03:20:01Z',
  tags: ['source=redis', 'kind=copy', `base=${id}`],
  paths: ['/srv/shop/redis'],
  summary: { total_bytes_processed: 1000 + day, data_added_packed: 10 },
});
const note = (day: number) => ({ name: `copies/redis/${on(day)}.0123456789abcdef.zst.age`, size: 300 });

describe('a name of a copy', () => {
  test('is its moment, to the millisecond, and sorts as moments do', () => {
    void fc.assert(
      fc.property(fc.date({ min: new Date(0), max: new Date('9999-12-31'), noInvalidDate: true }), (moment) => {
        expect(momentOf(idOf(moment))).toBe(moment.toISOString());
      }),
    );
    expect(momentOf('20260504T032000Z')).toBeUndefined();
    expect(momentOf('')).toBeUndefined();
  });
});

describe('what a repository holds', () => {
  test('counts as complete only with its note, in the order of the moments', () => {
    const found = catalogueOf([snapshot(2), snapshot(0), snapshot(1)], [note(0), note(2), note(9)]);
    expect(found.map(({ snapshot: id, complete }) => [id, complete])).toEqual([
      ['snapshot 0', true],
      ['snapshot 1', false],
      ['snapshot 2', true],
    ]);
    expect(found[0]).toMatchObject({ at: '2026-05-04T03:20:00.123Z', bytes: 1000 });
  });

  test('leaves out what is not ours', () => {
    expect(catalogueOf([snapshot(0, 'latest'), { ...snapshot(0), tags: [] }], [])).toEqual([]);
  });
});

describe('the copy for a moment', () => {
  const copies = catalogueOf([snapshot(0), snapshot(1), snapshot(2), snapshot(3)], [note(0), note(1), note(2)]);
  const at = (to: string): string => nearest('redis', copies, to).snapshot;

  test('is the last complete one that is not after it', () => {
    expect(at('latest')).toBe('snapshot 2');
    expect(at('2026-05-05T12:00:00Z')).toBe('snapshot 1');
    expect(at('2026-05-05T05:20:00.123+02:00')).toBe('snapshot 1');
    expect(at('2026-05-05T05:20:00.122+02:00')).toBe('snapshot 0');
    expect(at('2030-01-01T00:00:00Z')).toBe('snapshot 2');
  });

  test('is refused where there is none, in words that help', () => {
    expect(() => at('2026-05-04T03:20:00Z')).toThrow('The oldest copy of redis is of 2026-05-04T03:20:00.123Z');
    expect(() => at('before-v2')).toThrow('no restore point called before-v2');
    expect(() => nearest('redis', catalogueOf([snapshot(0)], []), 'latest')).toThrow('no complete copy');
  });
});

describe('what another repository lacks', () => {
  const keeping = { keep: 30 * 86_400, atLeast: 1 };
  const stored = (days: readonly number[]): readonly Stored[] =>
    catalogueOf(
      days.map((day) => snapshot(day)),
      days.map(note),
    );
  const lacks = (from: readonly number[], to: readonly number[]): readonly string[] =>
    missingOf(stored(from), stored(to), keeping).map((copy) => copy.snapshot);

  test('is all that it missed while it was down', () => {
    expect(lacks([0, 1, 2, 3], [0])).toEqual(['snapshot 1', 'snapshot 2', 'snapshot 3']);
    expect(lacks([0, 1], [0, 1, 2])).toEqual([]);
  });

  test('without what it would forget at once', () => {
    expect(lacks([0, 1, 50, 51], [50])).toEqual(['snapshot 1', 'snapshot 51']);
  });

  test('also where the clock was set back', () => {
    expect(lacks([5, 4], [5])).toEqual(['snapshot 4']);
  });
});
