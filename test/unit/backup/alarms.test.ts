import fc from 'fast-check';
import { expect, test } from 'vitest';
import { alarmsOf, oncePerRepository, type Seen } from '#backup/alarms';
import { dueAfter } from '#core/cron-due';
import {
  type BackupRecord,
  type BackupSettings,
  cronNameOf,
  type DrillReport,
  repositoryName,
  type Scheduled,
  scheduleOf,
} from '#protocol/backup';

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;
const BEGIN = Date.UTC(2026, 0, 31, 9, 30);

const settings: BackupSettings = {
  app: 'shop',
  environment: 'prod',
  host: 'vps',
  repositories: repositoryName.options.map((name) => ({ name, url: `/srv/${name}`, credentials: {} })),
  sources: [
    {
      ...{ type: 'postgres', name: 'postgres', container: 'shop-postgres', image: 'postgres:17', storage: '/srv/pg' },
      ...{ database: 'app', user: 'app', full: '0 2 * * *', incremental: '0 */6 * * *', dump: '30 3 * * 0' },
      synchronous: false,
    },
    {
      ...{ type: 'volume', name: 'files', volume: 'shop_files', sqlite: [], containers: 'run' },
      schedule: '20 * * * *',
    },
  ],
  keep: 30 * 86_400,
  atLeast: 3,
  drill: { schedule: '0 4 * * 0', assert: {} },
};

const iso = (milliseconds: number) => new Date(milliseconds).toISOString();

function recordOf({ job, source }: Scheduled, at: number, changes: Partial<BackupRecord> = {}): BackupRecord[] {
  const base = { at: iso(at), job, result: 'done' as const, duration: 90, ...(source === undefined ? {} : { source }) };
  if (job === 'drill') return [{ ...base, source: 'postgres', ...changes }];
  const sources = source === undefined ? settings.sources.map(({ name }) => name) : [source];
  return sources.flatMap((name) =>
    settings.repositories.map((repository) => ({ ...base, source: name, repository: repository.name, ...changes })),
  );
}

const timed = scheduleOf(settings).filter(({ job }) => job !== 'watch');

/** Every run that cron begins in a stretch of time, as it is recorded. */
function runsIn(from: number, to: number, only: (one: Scheduled) => boolean = () => true): BackupRecord[] {
  return timed
    .filter(only)
    .flatMap((scheduled) => {
      const records: BackupRecord[] = [];
      for (let due = dueAfter(scheduled.schedule, new Date(from)); due !== undefined && due.getTime() < to; ) {
        records.push(...recordOf(scheduled, due.getTime() + 17_000));
        due = dueAfter(scheduled.schedule, due);
      }
      return records;
    })
    .sort((one, other) => Date.parse(one.at) - Date.parse(other.at));
}

function passed(source: string, at: number): DrillReport {
  return {
    ...{ id: 'd', app: 'shop', source, type: 'postgres', at: iso(at), by: 'cron', repository: 'offsite' },
    ...{ verdict: 'passed', target: 'latest', phases: [], checks: [], duration: 60 },
  };
}

function seenAt(now: number, changes: Partial<Seen> = {}): Seen {
  return {
    settings,
    now,
    since: BEGIN,
    records: [],
    watched: now - 30_000,
    atWork: new Set(),
    cron: { runs: true, missing: [] },
    spaces: [{ path: '/var', totalBytes: 100e9, freeBytes: 40e9 }],
    escrow: iso(BEGIN),
    drills: settings.sources.map(({ name }) => passed(name, now - DAY)),
    ...changes,
  };
}

const messages = (seen: Seen) => alarmsOf(seen).map(({ message }) => message);

test('forty clean days raise no alarm at any minute of them that was looked at', () => {
  const records = runsIn(BEGIN, BEGIN + 40 * DAY);
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 40 * 24 * 60 - 1 }), (minutes) => {
      const now = BEGIN + minutes * MINUTE;
      // What began a moment ago runs still, and has left no record.
      const begun = records.filter(({ at }) => Date.parse(at) + 90_000 < now);
      expect(messages(seenAt(now, { records: begun }))).toEqual([]);
    }),
    { numRuns: 300 },
  );
});

test('a host that was just set up has nothing to be late with', () => {
  for (const minutes of [0, 1, 5, 29]) expect(messages(seenAt(BEGIN + minutes * MINUTE))).toEqual([]);
});

test('a run that did not happen is told ten minutes after it was due, and over when it is made up for', () => {
  const dues = runsIn(BEGIN, BEGIN + 3 * DAY, ({ job }) => job !== 'full');
  const due = Date.UTC(2026, 1, 2, 2, 0);
  const yesterday = recordOf({ job: 'full', source: 'postgres', schedule: '' }, due - DAY);
  const at = (now: number, more: readonly BackupRecord[] = []) =>
    messages(
      seenAt(now, { records: [...dues.filter((one) => Date.parse(one.at) + 90_000 < now), ...yesterday, ...more] }),
    );
  expect(at(due + 9 * MINUTE)).toEqual([]);
  expect(at(due + 11 * MINUTE)).toEqual([
    'The job full of postgres was due 2026-02-02 02:00 UTC and did not run to its end.',
  ]);
  expect(at(due + 31 * MINUTE, recordOf({ job: 'full', source: 'postgres', schedule: '' }, due + 28 * MINUTE))).toEqual(
    [],
  );
});

test('what takes its time is not late while it is at work, nor what was begun by hand before its time', () => {
  const due = Date.UTC(2026, 1, 2, 2, 0);
  const others = runsIn(BEGIN, due + 5 * 60 * MINUTE, ({ job }) => job !== 'full');
  const full = { job: 'full', source: 'postgres' } as const;
  const yesterday = recordOf({ ...full, schedule: '' }, due - DAY);
  const now = due + 4 * 60 * MINUTE + 15 * MINUTE;
  const records = [...others.filter((one) => Date.parse(one.at) + 90_000 < now), ...yesterday];
  expect(messages(seenAt(now, { records, atWork: new Set([cronNameOf('shop', full)]) }))).toEqual([]);
  expect(messages(seenAt(now, { records }))).toHaveLength(1);
  const byHand = recordOf({ ...full, schedule: '' }, due - 5 * MINUTE, { duration: 900 });
  expect(messages(seenAt(now, { records: [...records, ...byHand] }))).toEqual([]);
});

test('a failure is told with its words until that source has succeeded in that repository', () => {
  const now = Date.UTC(2026, 1, 2, 2, 5);
  const clean = runsIn(BEGIN, now - 2 * 90_000);
  const full = { job: 'full', source: 'postgres', schedule: '' } as const;
  const [, offsite] = recordOf(full, now - 4 * MINUTE, { result: 'failed', why: 'no space left on the other side' });
  if (offsite === undefined) throw new Error('there is no record for the second repository');
  const broken = messages(seenAt(now, { records: [...clean, offsite] }));
  expect(broken).toHaveLength(1);
  expect(broken[0]).toContain('The job full of postgres, offsite repository, has failed since 2026-02-02 02:01 UTC');
  expect(broken[0]).toContain('no space left on the other side\nIt succeeded last 2026-02-02 02:00 UTC.');
  const mended = recordOf(full, now - MINUTE);
  const elsewhere = mended.filter(({ repository }) => repository === 'local');
  expect(messages(seenAt(now, { records: [...clean, offsite, ...elsewhere] }))).toHaveLength(1);
  expect(messages(seenAt(now, { records: [...clean, offsite, ...mended] }))).toEqual([]);
});

test('one check of one source says nothing of another whose objects are broken', () => {
  const now = Date.UTC(2026, 1, 2, 9, 0);
  const clean = runsIn(BEGIN, now - 2 * 90_000);
  const at = iso(now - 3 * MINUTE);
  const broken: BackupRecord = {
    ...{ at, job: 'check', source: 'files', repository: 'local', result: 'failed', duration: 1 },
    why: 'object x',
  };
  const other: BackupRecord = { ...broken, source: 'postgres', result: 'done', at: iso(now - MINUTE) };
  expect(messages(seenAt(now, { records: [...clean, broken, other] }))).toHaveLength(1);
  expect(alarmsOf(seenAt(now, { records: [...clean, broken, other] }))[0]?.hint).toContain(
    '`deploy backup verify prod --only files`',
  );
});

test('a repository that fails everything is one alarm, which names whom it concerns, and others stay as they are', () => {
  const now = Date.UTC(2026, 1, 2, 9, 0);
  const clean = runsIn(BEGIN, now - 2 * 90_000);
  const dead = timed
    .filter(({ job }) => job !== 'drill')
    .flatMap((one) => recordOf(one, now - 6 * MINUTE, { result: 'failed', why: 'vault failed:\nno route to host' }))
    .filter(({ repository }) => repository === 'offsite');
  const alarms = alarmsOf(seenAt(now, { records: [...clean, ...dead], escrow: undefined }));
  expect(alarms.length).toBeGreaterThan(5);
  const [one, key, ...more] = oncePerRepository(alarms, 'prod');
  expect(more).toEqual([]);
  expect(one).toMatchObject({ repository: 'offsite', hint: expect.stringContaining('`deploy backup now prod`') });
  expect(one?.message).toMatch(/^The offsite repository .*\nIt concerns files, postgres\.\n/);
  expect(one?.message.split('no route to host')).toHaveLength(2);
  for (const { message } of alarms.slice(0, -1)) expect(one?.message).toContain(message.split('\n', 1)[0]);
  expect(key?.message).toMatch(/^Nobody has proven/);
  // One job of one source is told as it is.
  const [single] = alarms;
  expect(
    oncePerRepository(
      [single, key].flatMap((alarm) => alarm ?? []),
      'prod',
    ),
  ).toEqual([single, key]);
});

test('what left the inventory leaves no alarm behind', () => {
  const now = Date.UTC(2026, 1, 2, 9, 0);
  const gone: BackupRecord = {
    ...{ at: iso(now - DAY), job: 'check', source: 'former', result: 'failed', duration: 1, why: 'object x' },
  };
  expect(messages(seenAt(now, { records: [gone, ...runsIn(BEGIN, now - 2 * 90_000)] }))).toEqual([]);
});

test('a changed schedule is late only by itself, and a clock that was ahead hides nothing', () => {
  const now = Date.UTC(2026, 1, 5, 9, 0);
  const records = runsIn(BEGIN, now - 2 * DAY);
  expect(messages(seenAt(now, { records, since: now - 5 * MINUTE }))).toEqual([]);
  const future = recordOf({ job: 'full', source: 'postgres', schedule: '' }, now + 300 * DAY);
  expect(messages(seenAt(now, { records: [...records, ...future] })).join('\n')).toContain('The job full of postgres');
});

test('a word of every minute that fails is no alarm at once, and one after five minutes of it', () => {
  const now = Date.UTC(2026, 1, 2, 9, 0);
  const clean = runsIn(BEGIN, now - 2 * 90_000);
  const failing = (since: number): BackupRecord => ({
    ...{ at: iso(since), job: 'watch', source: 'postgres', repository: 'offsite', result: 'failed', duration: 1 },
    why: 'no route to host',
  });
  expect(messages(seenAt(now, { records: [...clean, failing(now - 4 * MINUTE)] }))).toEqual([]);
  expect(messages(seenAt(now, { records: [...clean, failing(now - 6 * MINUTE)] }))).toHaveLength(1);
});

test('cron that does not run, an entry that is gone, and a watch that nobody keeps are told', () => {
  const now = Date.UTC(2026, 1, 2, 9, 0);
  const records = runsIn(BEGIN, now - 2 * 90_000);
  const missing = scheduleOf(settings).slice(0, 2);
  expect(messages(seenAt(now, { records, cron: { runs: false, missing: [] } }))).toEqual([
    'cron does not run on the host: nothing is backed up by itself.',
  ]);
  expect(messages(seenAt(now, { records, cron: { runs: true, missing }, watched: now - DAY }))).toEqual([
    'The job watch is not in /etc/cron.d any more (slipway-backup-shop-watch).',
    'The job full of postgres is not in /etc/cron.d any more (slipway-backup-shop-postgres-full).',
  ]);
  expect(messages(seenAt(now, { records, watched: now - 13 * MINUTE }))[0]).toMatch(/^Nobody has looked after/);
});

test('a full disk, copies at one place only and a key in no hand are told', () => {
  const now = Date.UTC(2026, 1, 2, 9, 0);
  const records = runsIn(BEGIN, now - 2 * 90_000);
  const space = (free: number) => ({ spaces: [{ path: '/var', totalBytes: 100e9, freeBytes: free }] });
  expect(messages(seenAt(now, { records, ...space(21e9) }))).toEqual([]);
  expect(messages(seenAt(now, { records, ...space(19e9) }))[0]).toContain('is filling up');
  expect(messages(seenAt(now, { records, ...space(9e9) }))[0]).toContain('is nearly full');
  const local = { ...settings, repositories: settings.repositories.slice(0, 1) };
  expect(messages(seenAt(now, { records, settings: local }))[0]).toMatch(/^All copies are on the host itself/);
  expect(messages(seenAt(now, { records, escrow: undefined }))[0]).toMatch(/^Nobody has proven/);
});

test('every alarm says what to type next', () => {
  const now = BEGIN + 20 * DAY;
  const all = alarmsOf(
    seenAt(now, {
      escrow: undefined,
      spaces: [{ path: '/var', totalBytes: 1, freeBytes: 0 }],
      cron: { runs: false, missing: scheduleOf(settings) },
      settings: { ...settings, repositories: settings.repositories.slice(0, 1) },
    }),
  );
  expect(all.length).toBeGreaterThan(10);
  for (const { hint } of all) expect(hint).toMatch(/`[^`]+`/);
});
