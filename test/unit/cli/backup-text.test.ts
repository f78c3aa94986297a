import { expect, test } from 'vitest';
import { backupListText, backupStatusText } from '#cli/backup-text';
import { paintFor } from '#cli/paint';
import type { DrillReport, Standing } from '#protocol/backup';
import type { Event } from '#protocol/event';

const AT = '2026-03-29T12:05:09.000Z';
const paint = paintFor({ isTTY: false });

const standing = (source: string, repository: Standing['repository'], changes: Partial<Standing> = {}): Standing => ({
  ...{ source, type: source === 'postgres' ? 'postgres' : 'redis', repository, copies: 33, bytes: 1.5 * 1024 ** 3 },
  ...{ oldest: '2026-02-27T02:00:14.000Z', newest: '2026-03-29T12:05:02.000Z' },
  ...changes,
});

const drill: DrillReport = {
  ...{ id: 'd', app: 'shop', source: 'postgres', type: 'postgres', at: '2026-03-27T04:00:09.000Z', by: 'cron' },
  ...{ repository: 'offsite', verdict: 'passed', target: 'latest', reached: '2026-03-27T04:00:02.000Z' },
  ...{ rto: 21, rpo: 4.3, phases: [], checks: [], duration: 60 },
};

const stands: Extract<Event, { type: 'backup.stands' }> = {
  ...{ type: 'backup.stands', at: AT, app: 'shop', alarms: [], drills: [drill], escrow: '2026-02-27T10:00:00.000Z' },
  standings: [
    standing('redis', 'local', { copies: 1 }),
    standing('postgres', 'local'),
    standing('postgres', 'offsite'),
  ],
  runs: [
    {
      at: '2026-03-29T02:00:14.000Z',
      job: 'full',
      source: 'postgres',
      repository: 'local',
      result: 'done',
      duration: 1,
    },
    { at: '2026-03-29T02:00:14.000Z', job: 'watch', source: 'postgres', result: 'done', duration: 1 },
  ],
};

test('the newest moment, its age and its place come first, then what was proven', () => {
  expect(backupStatusText(stands, paint, 200)).toEqual([
    '  postgres      local    every moment up to 2026-03-29 12:05:02 UTC, 7 s ago; back to 2026-02-27 02:00:14  33 copies, 1.5 GB',
    '                offsite  every moment up to 2026-03-29 12:05:02 UTC, 7 s ago; back to 2026-02-27 02:00:14  33 copies, 1.5 GB',
    '  redis         local    as it was 2026-03-29 12:05:02 UTC, 7 s ago  1 copy, 1.5 GB',
    '  last runs     full postgres 10 h ago',
    '  drill         passed 2 d ago: postgres, 2026-03-27 04:00:02 UTC restored, in 21 s, 4.3 s of data would have been lost',
    '  key           a copy was proven 2026-02-27',
    '  ✓ all is well',
  ]);
});

test('every alarm comes with its next command, and nothing restorable is said in as many words', () => {
  const { oldest: _, newest: __, ...nothing } = standing('postgres', 'offsite', { copies: 0, bytes: 0 });
  const alarms = [
    { source: 'postgres', message: 'It has failed:\nno space left', hint: '`deploy backup now prod`' },
    { message: 'a word '.repeat(20).trim(), hint: '`deploy up prod`' },
  ];
  const lines = backupStatusText({ ...stands, standings: [nothing], alarms, drills: [] }, paint, 60);
  expect(lines[0]).toBe('  postgres      offsite  nothing that could be restored');
  expect(lines).toContain('  drill         none yet');
  expect(lines).toEqual(
    expect.arrayContaining(['  ✗ It has failed:', '    no space left', '    → `deploy backup now prod`']),
  );
  expect(lines.at(-1)).toBe('  ✗ 2 alarms  backup-alarm; more with `deploy explain backup-alarm`');
  for (const line of lines.join('\n').split('\n').slice(5, -1)) expect(line.length).toBeLessThanOrEqual(60);
});

test('copies and what releases gave a name are listed by age below what they add up to; what is not complete says so', () => {
  const copy = { source: 'postgres', type: 'postgres', repository: 'local', bytes: 48_439_296 } as const;
  const lines = backupListText(
    {
      ...{ type: 'backup.listed', at: AT, app: 'shop', standings: [standing('postgres', 'local')] },
      copies: [
        { ...copy, kind: 'incremental', id: 'b'.repeat(64), at: '2026-03-29T06:00:00.000Z', complete: false },
        { ...copy, kind: 'full', id: 'a'.repeat(64), at: '2026-03-29T02:00:00.000Z', complete: true },
      ],
      points: [
        {
          ...{ name: 'release r2 20260329T040000Z', source: 'postgres', release: 'r2', tag: 'v2', before: 'r1' },
          ...{ at: '2026-03-29T04:00:00.000Z', lsn: '0/3000000' },
        },
      ],
    },
    paint,
  );
  expect(lines.slice(1)).toEqual([
    '    2026-03-29 02:00:00  full         46.2 MB  local     aaaaaaaa',
    "    2026-03-29 04:00:00  before v2  --to 'release r2 20260329T040000Z'",
    '    2026-03-29 06:00:00  incremental  46.2 MB  local     bbbbbbbb  not complete',
  ]);
});
