import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Seen } from '#backup/alarms';
import { drillAlarms } from '#backup/drill/alarms';
import { limitsOf } from '#backup/drill/limits';
import { recentCheck } from '#backup/drill/recent';
import { nextTarget, randomMoment } from '#backup/drill/target';
import type { BackupSettings, DrillReport, Source } from '#protocol/backup';

const DAY = 86_400_000;
const NOW = Date.UTC(2026, 2, 29, 12);

function report(changes: Partial<DrillReport> = {}): DrillReport {
  return {
    ...{ id: 'one', app: 'shop', source: 'postgres', type: 'postgres', at: new Date(NOW - DAY).toISOString() },
    ...{ by: 'the host vps', repository: 'offsite', verdict: 'passed', target: 'latest', phases: [], checks: [] },
    duration: 30,
    ...changes,
  };
}

test('a random moment is within what can be restored, in turns of a day and of the whole', () => {
  const window = { oldest: new Date(NOW - 30 * DAY).toISOString(), newest: new Date(NOW).toISOString() };
  const chance = fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true });
  fc.assert(
    fc.property(chance, fc.nat({ max: 9 }), (drawn, earlier) => {
      const others = Array.from({ length: earlier }, () => report({ target: new Date(NOW).toISOString() }));
      const moment = randomMoment(window, [report(), ...others], drawn) ?? 0;
      expect(moment).toBeLessThanOrEqual(NOW);
      expect(moment).toBeGreaterThanOrEqual(NOW - (earlier % 2 === 0 ? DAY : 30 * DAY));
    }),
  );
  expect(randomMoment(window, [report({ target: 'then' })], 0)).toBe(NOW - 30 * DAY);
  expect(randomMoment({}, [], 0.5)).toBeUndefined();
});

test('a window of less than a day is not left', () => {
  const oldest = new Date(NOW - 3600_000).toISOString();
  expect(randomMoment({ oldest, newest: new Date(NOW).toISOString() }, [], 0)).toBe(NOW - 3600_000);
});

test('cron restores the newest moment every second time', () => {
  expect([0, 1, 2, 3].map((count) => nextTarget(Array.from({ length: count }, () => report())))).toEqual([
    'latest',
    'random',
    'latest',
    'random',
  ]);
});

test('only what the engine can limit is limited', () => {
  const none = { MemoryLimit: false, CpuCfsQuota: false, Warnings: ['WARNING: No io.weight support'] };
  expect(limitsOf(none)).toEqual([]);
  const all = { MemoryLimit: true, CpuCfsQuota: true, MemTotal: 8 * 1024 ** 3, Warnings: null };
  expect(limitsOf(all)).toEqual(['--cpus', '1', '--memory', String(2 * 1024 ** 3), '--blkio-weight', '10']);
});

test('the newest data must be as new as it is copied often', () => {
  const log = { type: 'postgres', name: 'postgres' } as Source;
  const daily = { type: 'volume', name: 'files', schedule: '40 3 * * *' } as unknown as Source;
  const resultOf = (source: Source, age: number) => recentCheck(source, NOW - age, NOW).result;
  expect([resultOf(log, 3_500_000), resultOf(log, 3_700_000)]).toEqual(['passed', 'failed']);
  expect([resultOf(daily, 1.9 * DAY), resultOf(daily, 2.1 * DAY)]).toEqual(['passed', 'failed']);
  expect(recentCheck(log, Number.NEGATIVE_INFINITY, NOW).result).toBe('failed');
});

const settings = {
  environment: 'prod',
  sources: [{ type: 'volume', name: 'files' }],
  drill: { schedule: '0 4 * * 0', assert: {} },
} as unknown as BackupSettings;

const alarms = (drills: readonly DrillReport[], changes: Partial<Seen> = {}) =>
  drillAlarms({ settings, drills, now: NOW, since: NOW - 100 * DAY, ...changes } as Seen).map(({ message }) => message);

const own = (changes: Partial<DrillReport> = {}) => report({ source: 'files', ...changes });

test('the last drill alarms where it has not passed, and is silent where it has', () => {
  expect(alarms([own()])).toEqual([]);
  expect(alarms([own(), own({ verdict: 'failed', why: 'row counts: gone' })])).toEqual([
    'The last drill of files, 2026-03-28 12:00 UTC, failed: row counts: gone',
  ]);
  expect(alarms([own({ verdict: 'error', why: 'no room' })])).toEqual([
    'The last drill of files, 2026-03-28 12:00 UTC, could not be carried out: no room',
  ]);
  expect(alarms([own({ verdict: 'failed', why: 'gone' }), own()])).toEqual([]);
});

test('no drill for two of its intervals alarms, and not a moment before', () => {
  const at = (days: number) => new Date(NOW - days * DAY).toISOString();
  expect(alarms([own({ at: at(13.9) })])).toEqual([]);
  expect(alarms([own({ at: at(14.1) })])).toEqual(['files was last restored on trial 2026-03-15 09:36 UTC.']);
  expect(alarms([])).toEqual(['files was never restored on trial.']);
  expect(alarms([], { since: NOW - 13 * DAY })).toEqual([]);
  // Another source's drill says nothing of this one.
  expect(alarms([report()])).toEqual(['files was never restored on trial.']);
  const never = { ...settings, drill: { assert: {} } } as BackupSettings;
  expect(alarms([], { settings: never })).toEqual([]);
});
