import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  endOfSegment,
  gapsIn,
  nextSegment,
  parseWalName,
  plainName,
  printWalName,
  segmentAt,
  segmentFile,
  segmentNumber,
  startOfSegment,
} from '#backup/postgres/archive';
import { formatLsn, lsnDigits, lsnOfDigits, parseLsn } from '#backup/postgres/lsn';

const lsn = fc.bigInt({ min: 0n, max: 0xffffffffffffffffn });
const timeline = fc.integer({ min: 1, max: 0xffffffff });
/** Every size that initdb takes: 1 MB to 1 GB. */
const size = fc.integer({ min: 20, max: 30 }).map((power) => 2 ** power);

test('a position is what PostgreSQL writes', () => {
  expect(parseLsn('16/B374D848')).toBe(0x16b374d848n);
  expect(formatLsn(0x16b374d848n)).toBe('16/B374D848');
  expect(formatLsn(0n)).toBe('0/0');
  expect(lsnDigits(0x16b374d848n)).toBe('00000016B374D848');
});

test.each(['', '16', '16/', '/1', '1/123456789', 'x/1', '0/1 0/2'])('%j is no position', (text) => {
  expect(() => parseLsn(text)).toThrow('no position');
});

test('a position comes back from its text and its digits, whose order is its own', () => {
  fc.assert(
    fc.property(lsn, lsn, (one, other) => {
      expect(parseLsn(formatLsn(one))).toBe(one);
      expect(lsnOfDigits(lsnDigits(one))).toBe(one);
      expect(lsnDigits(one) < lsnDigits(other)).toBe(one < other);
    }),
  );
});

// As pg_walfile_name() of PostgreSQL 17 answers.
test.each([
  [1, '0/3000148', 16, '000000010000000000000003'],
  [1, '1/0', 16, '000000010000000100000000'],
  [2, '0/FF000001', 16, '0000000200000000000000FF'],
  [1, '0/3000148', 1, '000000010000000000000030'],
  [1, 'A/7FFFFFFF', 1024, '000000010000000A00000001'],
])('timeline %d at %s with segments of %d MB is %s', (tli, at, megabytes, file) => {
  expect(segmentAt(tli, parseLsn(at), megabytes * 2 ** 20)).toBe(file);
});

test('a segment holds the positions between its start and its end, and the next begins there', () => {
  fc.assert(
    fc.property(timeline, lsn, size, (tli, at, bytes) => {
      const file = segmentAt(tli, at, bytes);
      expect(startOfSegment(file, bytes) <= at && at < endOfSegment(file, bytes)).toBe(true);
      expect(segmentFile(tli, segmentNumber(file, bytes), bytes)).toBe(file);
      fc.pre(endOfSegment(file, bytes) <= 0xffffffffffffffffn);
      expect(startOfSegment(nextSegment(file, bytes), bytes)).toBe(endOfSegment(file, bytes));
    }),
  );
});

test('a name comes back from its text', () => {
  const file = fc.tuple(timeline, lsn).map(([tli, at]) => ({ timeline: tli, file: segmentAt(tli, at, 2 ** 24) }));
  const name = fc.oneof(
    file.map((of) => ({ kind: 'segment' as const, ...of })),
    file.map((of) => ({ kind: 'partial' as const, ...of })),
    fc.tuple(file, lsn).map(([of, flushed]) => ({ kind: 'partial' as const, ...of, flushed })),
    timeline.map((tli) => ({ kind: 'history' as const, timeline: tli })),
  );
  fc.assert(
    fc.property(name, (one) => {
      expect(parseWalName(printWalName(one))).toEqual(one);
    }),
  );
});

test.each([
  '',
  '00000001000000000000000',
  '00000001000000000000000g',
  '000000010000000000000001.part',
  '000000010000000000000001.partial-1',
  '1.history',
  '000000010000000000000001.gz',
  'archive_status',
])('%j is no write-ahead log', (text) => {
  expect(parseWalName(text)).toBeUndefined();
});

test('a sealed object is called by its plain name, whatever folder it lies in', () => {
  const sealed = 'wal/db/7301/20260101T000000Z/000000010000000000000003.0123456789abcdef.zst.age';
  expect(plainName(sealed)).toBe('000000010000000000000003');
  expect(plainName('00000002.history')).toBe('00000002.history');
});

test('segments that follow one another have no gap, in whatever order they are named', () => {
  fc.assert(
    fc.property(
      fc.bigInt({ min: 0n, max: 2n ** 32n }),
      fc.integer({ min: 1, max: 40 }),
      size,
      (first, count, bytes) => {
        const files = Array.from({ length: count }, (_, index) => segmentFile(1, first + BigInt(index), bytes));
        expect(gapsIn([...files].reverse(), bytes)).toEqual([]);
        expect(gapsIn([...files, ...files], bytes)).toEqual([]);
      },
    ),
  );
});

test('any segment left out of the middle is a gap, and named', () => {
  fc.assert(
    fc.property(fc.integer({ min: 3, max: 40 }), fc.nat(), size, (count, pick, bytes) => {
      const files = Array.from({ length: count }, (_, index) => segmentFile(1, 250n + BigInt(index), bytes));
      const hole = 1 + (pick % (count - 2));
      const gaps = gapsIn(files.toSpliced(hole, 1), bytes);
      expect(gaps).toEqual([{ after: files[hole - 1], before: files[hole + 1] }]);
    }),
  );
});

test('a timeline may begin within a segment or with one, and never goes back', () => {
  const at = (tli: number, number: number) => segmentFile(tli, BigInt(number), 2 ** 24);
  expect(gapsIn([at(1, 4), at(1, 5), at(2, 5), at(2, 6)], 2 ** 24)).toEqual([]);
  expect(gapsIn([at(1, 4), at(2, 5)], 2 ** 24)).toEqual([]);
  expect(gapsIn([at(1, 4), at(2, 6)], 2 ** 24)).toEqual([{ after: at(1, 4), before: at(2, 6) }]);
  expect(gapsIn([at(2, 4), at(1, 5)], 2 ** 24)).toEqual([{ after: at(2, 4), before: at(1, 5) }]);
});
