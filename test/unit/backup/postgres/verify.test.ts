import { expect, test } from 'vitest';
import { catalogueOf, stretchesOf } from '#backup/postgres/catalogue';
import { continuityOf, faultsIn, isInPart } from '#backup/postgres/verify';
import { aBase, aSnapshot, historyOf, MEGABYTES_16, partialOf, segmentsOf, sized } from '#test/support/stored-copies';

const GENERATION = '20260101T000000Z';
const NOW = Date.parse('2026-01-02T00:00:00Z');
const full = aBase('20260101T020000Z', { generation: GENERATION, segment: 2 });
const snapshot = aSnapshot(full.note);

test('each object is looked at on one day of the rotation, and no day has far more than another', () => {
  const objects = segmentsOf(GENERATION, 1, 3000);
  const parts = objects.map((object) =>
    Array.from({ length: 30 }, (_, day) => day + 1).filter((day) => isInPart(object, day)),
  );
  expect(parts.every((days) => days.length === 1)).toBe(true);
  const sizes = Array.from({ length: 30 }, (_, day) => parts.filter(([only]) => only === day + 1).length);
  expect(Math.max(...sizes)).toBeLessThan(160);
  expect(Math.min(...sizes)).toBeGreaterThan(50);
});

test('log without a gap is found, and a gap is told by the segments around it', () => {
  const continuity = (names: readonly string[]) => {
    const [stretch] = stretchesOf(sized(names));
    if (stretch === undefined) throw new Error('there is log');
    return continuityOf(stretch, MEGABYTES_16);
  };
  expect(continuity([...segmentsOf(GENERATION, 2, 9), historyOf(GENERATION, 2)])).toMatchObject({
    found: 8,
    missing: [],
  });
  expect(continuity([...segmentsOf(GENERATION, 2, 4), ...segmentsOf(GENERATION, 6, 9)]).missing).toEqual([
    'between 000000010000000000000004 and 000000010000000000000006',
  ]);
  // The last closed one is missed by the beginning of the one that follows it.
  expect(continuity([...segmentsOf(GENERATION, 2, 4), partialOf(GENERATION, 6, '0/6000100')]).missing).toHaveLength(1);
  expect(continuity([...segmentsOf(GENERATION, 2, 4), partialOf(GENERATION, 5, '0/5000100')]).missing).toEqual([]);
  const leftover = [...segmentsOf(GENERATION, 2, 4), partialOf(GENERATION, 5, '0/5000100')];
  expect(continuity([...leftover, ...segmentsOf(GENERATION, 6, 7)]).missing).toHaveLength(1);
});

test('what a copy lacks, a snapshot without a note and a broken note are told, but not of what is under way', () => {
  const log = sized(segmentsOf(GENERATION, 2, 3));
  expect(faultsIn(catalogueOf('local', [snapshot], [full], log), NOW)).toEqual([]);
  expect(faultsIn(catalogueOf('local', [], [full], log), NOW)).toEqual([
    'the full copy 20260101T020000Z lacks its snapshot',
  ]);
  expect(faultsIn(catalogueOf('local', [snapshot], [], log), NOW)[0]).toMatch(/20260101T020000Z has no note$/);
  const broken = [{ object: full.object, why: 'it is not as it was written' }];
  expect(faultsIn(catalogueOf('local', [snapshot], [], log, broken), NOW)).toContain(
    `${full.object}: it is not as it was written`,
  );
  const soon = Date.parse(full.note.at) + 60_000;
  expect(faultsIn(catalogueOf('local', [], [full], log), soon)).toEqual([]);
  expect(faultsIn(catalogueOf('local', [snapshot], [], log), soon)).toEqual([]);
});
