import { expect, test } from 'vitest';
import { logAlarms } from '#backup/postgres/log-alarms';
import { lacksFull } from '#backup/postgres/watch';
import type { Watched } from '#backup/postgres/watched';
import type { BackupRecord, PostgresSource } from '#protocol/backup';

const GB = 2 ** 30;
const now = Date.parse('2026-02-03T12:00:00Z');
const ago = (seconds: number) => new Date(now - seconds * 1000).toISOString();
const generation = { systemId: '7301', generation: '20260203T040506Z', segmentBytes: 2 ** 24 };

const source: PostgresSource = {
  ...{ type: 'postgres', name: 'db', container: 'shop-db', image: 'postgres:17', storage: '/srv/shop/db' },
  ...{ database: 'app', user: 'app', full: '0 2 * * *', synchronous: false },
};

const well: Watched = {
  ...{ at: ago(20), state: 'receiving', held: 0, cap: 10 * GB, synchronous: false },
  stores: { local: { covered: ago(20), behind: false }, offsite: { covered: ago(20), behind: false } },
};

const live = {
  flushed: 1000n,
  cap: 10 * GB,
  slot: { type: 'physical', active: true, from: 1000n },
  sender: { program: 'slipway', state: 'streaming', received: 1000n },
} as const;

const told = (watched: Partial<Watched>, more: object = {}) =>
  logAlarms(source, { watched: { ...well, ...watched }, generation, lacking: false, live, now, ...more }).map(
    ({ message }) => message,
  );

test('what is well is no alarm, nor is an idle server whose log has not grown for a day', () => {
  expect(told({})).toEqual([]);
  const idle = { covered: ago(86_400), behind: false };
  expect(told({ stores: { offsite: idle } })).toEqual([]);
});

test('a receiver that could not be brought back is an alarm at once, with its words', () => {
  const why = 'FATAL:  no pg_hba.conf entry';
  expect(told({ state: 'refused', since: ago(5), why })).toEqual([expect.stringContaining(why)]);
  expect(told({ state: 'starting', since: ago(125), why })).toEqual([expect.stringContaining('2 min 5 s')]);
});

test('a receiver that went since the last look is an alarm before the next', () => {
  expect(told({}, { live: { ...live, sender: undefined } })).toEqual([expect.stringContaining('shop-db-receiver')]);
});

test('a server that is started again is no alarm, one that stays away is', () => {
  const silent = { state: 'no server', why: 'shop-db does not run' } as const;
  expect(told({ ...silent, since: ago(30) }, { live: undefined })).toEqual([]);
  expect(told({ ...silent, since: ago(61) }, { live: undefined })).toEqual([expect.stringContaining('does not run')]);
});

test.each([
  [0.49, []],
  [0.5, [/^5\.0 GB of 10\.0 GB/]],
  [0.75, [/^Soon the server gives log up/]],
])('with %d of its limit a slot tells %o', (share, messages) => {
  const slot = { ...live.slot, from: 0n };
  const flushed = BigInt(Math.floor(share * 10 * GB));
  expect(told({}, { live: { ...live, slot, flushed } })).toEqual(messages.map((one) => expect.stringMatching(one)));
});

test('a repository without the log of the last five minutes is an alarm, with why', () => {
  const behind = (seconds: number) => ({ offsite: { covered: ago(seconds), behind: true, why: 'connection refused' } });
  expect(told({ stores: behind(290) })).toEqual([]);
  expect(told({ stores: behind(310) })).toEqual([expect.stringMatching(/offsite.*5 min 10 s: connection refused/)]);
  expect(told({ stores: { offsite: { behind: true } } })).toEqual([expect.stringContaining('no write-ahead log yet')]);
});

test('a gap is an alarm until there is a full copy behind it', () => {
  const begun = { ...generation, gap: 'the server gave the log up' };
  expect(told({}, { generation: begun, lacking: true })).toEqual([expect.stringContaining('gave the log up')]);
  expect(told({}, { generation: begun })).toEqual([]);
});

test('commits that should wait and do not are an alarm', () => {
  const waiting = { ...source, synchronous: true };
  const all = { watched: well, generation, lacking: false, live, now };
  expect(logAlarms(waiting, all)).toEqual([expect.objectContaining({ message: expect.stringMatching(/do not wait/) })]);
  expect(logAlarms(waiting, { ...all, watched: { ...well, synchronous: true } })).toEqual([]);
});

test('only a full copy of its own source that was begun in a generation and succeeded counts for it', () => {
  const full: BackupRecord = {
    ...{ at: '2026-02-03T04:05:07.000Z', job: 'full', source: 'db', result: 'done', duration: 1 },
  };
  const lacks = (record: Partial<BackupRecord>) => lacksFull(generation, 'db', [{ ...full, ...record }]);
  expect(lacks({})).toBe(false);
  expect(lacks({ at: '2026-02-03T04:05:05.000Z' })).toBe(true);
  expect(lacks({ result: 'failed' })).toBe(true);
  expect(lacks({ source: 'other' })).toBe(true);
  expect(lacks({ job: 'dump' })).toBe(true);
});
