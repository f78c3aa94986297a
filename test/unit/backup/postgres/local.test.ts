import { mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, expect, test } from 'vitest';
import { endOfSegment, segmentFile, startOfSegment } from '#backup/postgres/archive';
import { contentEnd, readLocal, removable, unshipped } from '#backup/postgres/local';

const MB = 2 ** 20;
const bytes = 16 * MB;
const at = (number: number, timeline = 1) => segmentFile(timeline, BigInt(number), bytes);
const run = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, index) => at(from + index));

const folder = mkdtempSync(join(tmpdir(), 'local-log-'));
afterAll(() => rmSync(folder, { recursive: true }));

const log = (segments: readonly string[], begun?: string) => ({
  segments,
  segmentBytes: bytes,
  ...(begun === undefined ? {} : { begun }),
});

const NOTHING = { reaches: 0n };
const upTo = (segment: string) => ({ segment, reaches: endOfSegment(segment, bytes) });

test('what follows the last that arrived is shipped, in order', () => {
  expect(unshipped(log(run(3, 6), at(7)), NOTHING)).toEqual({ segments: run(3, 6) });
  expect(unshipped(log(run(3, 6), at(7)), upTo(at(4)))).toEqual({ segments: run(5, 6) });
  expect(unshipped(log(run(3, 6), at(7)), upTo(at(6)))).toEqual({ segments: [] });
  expect(unshipped(log([], at(7)), upTo(at(6)))).toEqual({ segments: [] });
});

test('the log may go on with another timeline within a segment', () => {
  expect(unshipped(log([at(5), at(5, 2), at(6, 2)], at(7, 2)), upTo(at(5)))).toEqual({
    segments: [at(5, 2), at(6, 2)],
  });
});

test('an older copy of the archive ships nothing twice', () => {
  expect(unshipped(log(run(1, 4), at(5)), upTo(at(8)))).toEqual({ segments: [] });
});

test('whatever is missing between what arrived and what is there is a hole, and nothing behind it is shipped', () => {
  const some = fc.uniqueArray(fc.integer({ min: 1, max: 12 }), { minLength: 1 });
  fc.assert(
    fc.property(some, fc.integer({ min: 0, max: 12 }), (numbers, last) => {
      const files = numbers.map((number) => at(number)).sort();
      const { segments, hole } = unshipped(log(files), last === 0 ? NOTHING : upTo(at(last)));
      const first = last === 0 ? Math.min(...numbers) : last + 1;
      const after = numbers.filter((number) => number >= first).sort((one, other) => one - other);
      const gapless = after.filter((number, index) => number === first + index);
      expect(segments).toEqual(gapless.map((number) => at(number)));
      expect(hole === undefined).toBe(gapless.length === after.length);
    }),
  );
});

test('a beginning that does not follow is a hole', () => {
  expect(unshipped(log(run(3, 4), at(9)), upTo(at(2)))).toEqual({
    segments: run(3, 4),
    hole: expect.stringContaining(at(9)),
  });
  expect(unshipped(log([], at(9)), upTo(at(2))).hole).toContain(at(2));
});

test('where only the beginning of a segment arrived, that segment comes next', () => {
  const within = { reaches: startOfSegment(at(3), bytes) + 4096n };
  expect(unshipped(log(run(3, 4), at(5)), within)).toEqual({ segments: run(3, 4) });
  expect(unshipped(log([], at(3)), within)).toEqual({ segments: [] });
  for (const left of [log([at(4)], at(5)), log([], at(6))]) {
    expect(unshipped(left, within)).toEqual({ segments: [], hole: expect.stringMatching(/was lost before/) });
  }
});

test('a file that was filled with zeros beforehand has content up to its last other byte', async () => {
  const length = 3 * MB;
  const ends = fc.integer({ min: 0, max: length });
  await fc.assert(
    fc.asyncProperty(ends, async (end) => {
      const content = Buffer.alloc(length);
      if (end > 0) content.fill(7, Math.max(0, end - 100), end);
      writeFileSync(join(folder, `${at(3)}.partial`), content);
      expect(await contentEnd(folder, at(3), bytes)).toBe(BigInt(3 * bytes + end));
    }),
    { numRuns: 40 },
  );
  expect(await contentEnd(folder, at(4), bytes)).toBeUndefined();
});

test('the host keeps the newest, what is not everywhere, and a day of the rest unless space is scarce', async () => {
  const here = mkdtempSync(join(folder, 'kept-'));
  const now = Date.now();
  for (const [index, file] of run(1, 5).entries()) {
    writeFileSync(join(here, file), '');
    const old = (now - (index < 3 ? 25 : 1) * 3_600_000) / 1000;
    utimesSync(join(here, file), old, old);
  }
  writeFileSync(join(here, `${at(6)}.partial`), '');
  const local = await readLocal(here, bytes);
  expect(local).toMatchObject({ segments: run(1, 5), begun: at(6) });
  const when = { now, scarce: false };
  expect(await removable(local, [at(5), at(2)], when)).toEqual(run(1, 2));
  expect(await removable(local, [at(5), at(5)], when)).toEqual(run(1, 3));
  expect(await removable(local, [at(5), at(5)], { now, scarce: true })).toEqual(run(1, 4));
  expect(await removable(local, [at(5), undefined], { now, scarce: true })).toEqual([]);
});
