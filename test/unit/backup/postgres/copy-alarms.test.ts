import { expect, test } from 'vitest';
import { copyAlarms } from '#backup/postgres/copy-alarms';
import type { BackupRecord, PostgresSource } from '#protocol/backup';

const NOW = Date.parse('2026-05-02T06:00:00Z');
const source: PostgresSource = {
  ...{ type: 'postgres', name: 'db', container: 'shop-db', image: 'postgres:17', storage: '/srv/db' },
  ...{ database: 'app', user: 'app', full: '0 2 * * *', synchronous: false },
};
const full = (day: number, bytes: number, details: Readonly<Record<string, unknown>> = {}): BackupRecord => ({
  ...{ at: `2026-05-0${day}T02:00:00.000Z`, job: 'full', source: 'db', repository: 'local', result: 'done' },
  ...{ duration: 9, bytes, details: { kind: 'full', image: 'postgres@sha256:1', version: 170011, ...details } },
});
const generation = { systemId: '1', generation: '20260501T000000Z', segmentBytes: 16_777_216 };
const running = { image: 'postgres@sha256:1', major: 17 };
const said = (records: readonly BackupRecord[], more: Partial<Parameters<typeof copyAlarms>[1]> = {}) =>
  copyAlarms(source, { environment: 'prod', records, generation, running, now: NOW, ...more }).map(
    ({ message }) => message,
  );

test('nothing is said of copies that are as they should be, nor of a database that is only just watched', () => {
  expect(said([full(1, 100), full(2, 51)])).toEqual([]);
  expect(said([], { generation: { ...generation, generation: '20260502T050000Z' } })).toEqual([]);
});

test('a copy of less than half of the one before, which others do not hide', () => {
  expect(said([full(1, 100), full(2, 49), { ...full(2, 49), repository: 'offsite' }])).toHaveLength(1);
  expect(said([full(1, 100), { ...full(2, 1), result: 'failed' }])).toEqual([]);
});

test('another major version, or another image, than that of the last full copy', () => {
  expect(said([full(1, 100)], { running: { image: 'postgres@sha256:2', major: 17 } })[0]).toContain('another image');
  expect(said([full(1, 100)], { running: { image: 'postgres@sha256:2', major: 18 } })[0]).toContain('is PostgreSQL 18');
});

test('a generation without a full copy of its own, unless an incremental that was not possible has made one', () => {
  const before = { ...full(1, 100), at: '2026-04-30T02:00:00.000Z' };
  expect(said([before])).toEqual(['There is no full copy to restore its log on.']);
  expect(said([before, { ...full(1, 100), job: 'incremental' }])).toEqual([]);
});
