import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { expendable, type Kept } from '#backup/retention';

const DAY = 86_400;
const START = Date.parse('2026-01-01T02:00:00Z');

const on = (day: number, complete = true): Kept => ({
  id: `day ${day}${complete ? '' : ' unfinished'}`,
  at: new Date(START + day * DAY * 1000).toISOString(),
  complete,
});
const days = (from: number, to: number): readonly Kept[] =>
  Array.from({ length: to - from + 1 }, (_, index) => on(from + index));
const gone = (copies: readonly Kept[], keep = 30 * DAY, atLeast = 3): readonly string[] =>
  expendable(copies, { keep, atLeast }).map(({ id }) => id);

describe('what may go', () => {
  test('what is older than the window, but for the copy that covers its beginning', () => {
    expect(gone(days(0, 35))).toEqual(['day 0', 'day 1', 'day 2', 'day 3', 'day 4']);
    // Nothing lies exactly at the window's beginning: the one before it is needed to get there.
    expect(gone([on(0), on(3), ...days(10, 35)])).toEqual(['day 0']);
  });

  test('nothing while nothing succeeds, however many runs fail', () => {
    const failed = Array.from({ length: 15 }, (_, index) => on(40 + index, false));
    expect(gone([on(0), on(1), ...failed])).toEqual([]);
    expect(gone(failed)).toEqual([]);
  });

  test('a clock that jumps takes no more than half at once, and never the last ones', () => {
    const jumped = [...days(0, 9), on(500)];
    expect(gone(jumped)).toEqual(['day 0', 'day 1', 'day 2', 'day 3', 'day 4']);
    expect(gone([on(0), on(1), on(500)])).toEqual([]);
    expect(gone([on(0), on(500)], 0, 1)).toEqual(['day 0']);
  });

  test('what was never completed goes a day after it was last able to be', () => {
    expect(gone([on(0, false), on(1.1), on(1.5, false)])).toEqual(['day 0 unfinished']);
  });

  const kept = fc.record({
    id: fc.uuid(),
    at: fc.integer({ min: 0, max: 100 * 24 }).map((hour) => new Date(START + hour * 3_600_000).toISOString()),
    complete: fc.boolean(),
  });

  test('whatever there is, every moment of the window can still be restored, and so many copies are left', () => {
    void fc.assert(
      fc.property(
        fc.array(kept, { maxLength: 60 }),
        fc.integer({ min: 0, max: 60 * DAY }),
        fc.integer({ min: 1, max: 5 }),
        (copies, keep, atLeast) => {
          const going = new Set(expendable(copies, { keep, atLeast }));
          const complete = copies.filter((copy) => copy.complete);
          const left = complete.filter((copy) => !going.has(copy));
          expect(left.length).toBeGreaterThanOrEqual(Math.min(atLeast, complete.length));
          expect(left.length).toBeGreaterThanOrEqual(complete.length / 2);
          const newest = Math.max(...complete.map(({ at }) => Date.parse(at)));
          const moments = complete.map(({ at }) => Date.parse(at)).filter((at) => at >= newest - keep * 1000);
          // The nearest copy at or before each moment of the window is the one it was before.
          const nearest = (among: readonly Kept[], moment: number): number =>
            Math.max(...among.map(({ at }) => Date.parse(at)).filter((at) => at <= moment));
          for (const moment of [newest - keep * 1000, ...moments]) {
            expect(nearest(left, moment)).toBe(nearest(complete, moment));
          }
        },
      ),
    );
  });

  test('again and again, it comes to an end', () => {
    void fc.assert(
      fc.property(fc.array(kept, { maxLength: 40 }), fc.integer({ min: 0, max: 60 * DAY }), (copies, keep) => {
        let left: readonly Kept[] = copies;
        for (let round = 0; round < 10; round++) {
          const going = new Set(expendable(left, { keep, atLeast: 1 }));
          if (going.size === 0) return;
          left = left.filter((copy) => !going.has(copy));
        }
        expect(expendable(left, { keep, atLeast: 1 })).toEqual([]);
      }),
    );
  });
});
