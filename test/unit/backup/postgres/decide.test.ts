import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decide, type Situation } from '#backup/postgres/decide';
import { lackingSettings, slotCap } from '#backup/postgres/server-settings';
import { mayWrite } from '#backup/room';

const MB = 2 ** 20;
const GB = 2 ** 30;
const generation = { systemId: '7301', generation: '20260203T040506Z', segmentBytes: 16 * MB };
const slot = { type: 'physical' as const, active: true, from: 1n, status: 'reserved' as const };
const sender = { program: 'slipway', state: 'streaming', received: 1n };
const seen = { systemId: '7301', segmentBytes: 16 * MB };

const well: Situation = {
  seen: { ...seen, slot, sender },
  generation,
  fits: true,
  settled: true,
  words: '',
  archive: 'in place',
  odd: [],
  space: true,
};
const stuck: Situation = { ...well, seen: { ...seen, slot: { ...slot, active: false } } };
const said = (words: string): Situation => ({ ...stuck, words: `pg_receivewal: error: ${words}` });

test('what receives is left alone, and what catches up', () => {
  expect(decide(well)).toEqual({ do: 'nothing' });
  const catching = { ...well.seen, sender: { ...sender, state: 'catchup' } };
  expect(decide({ ...well, seen: catching })).toEqual({ do: 'nothing' });
});

test('the first generation has no gap before it', () => {
  expect(decide({ ...well, generation: undefined, seen })).toEqual({ do: 'begin', newSlot: true });
});

test.each<[string, Situation, object]>([
  ['another cluster', { ...stuck, seen: { ...seen, systemId: '7302' } }, { do: 'begin', newSlot: true }],
  ['a lost slot', { ...stuck, seen: { ...seen, slot: { ...slot, status: 'lost' } } }, { do: 'begin', newSlot: true }],
  ['no slot and no archive', { ...stuck, seen, archive: 'empty' }, { do: 'begin', newSlot: true }],
  [
    'removed log',
    said('ERROR:  requested WAL segment 00000001000000000000000A has already been removed'),
    {
      do: 'begin',
      newSlot: true,
    },
  ],
  [
    'a server that went back',
    said('ERROR:  requested starting point 0/9000000 is ahead of the WAL flush position of this server 0/3000148'),
    {
      do: 'begin',
      newSlot: true,
    },
  ],
])('%s is a gap: a new generation says why', (_, situation, step) => {
  expect(decide(situation)).toMatchObject({ ...step, gap: expect.stringMatching(/\w{3}/) });
});

test.each<[string, Situation, string]>([
  ['no slot, but an archive', { ...stuck, seen }, 'make slot'],
  ['a slot of another kind', { ...stuck, seen: { ...seen, slot: { ...slot, type: 'logical' } } }, 'make slot'],
  [
    'a slot that keeps nothing',
    { ...stuck, seen: { ...seen, slot: { type: 'physical', active: false } } },
    'make slot',
  ],
  ['a file of an odd size', { ...stuck, odd: ['000000010000000000000003.partial'] }, 'truncate'],
  ['no space', { ...well, space: false }, 'stop'],
  ['an archive put in the place of ours', { ...well, archive: 'elsewhere' }, 'start'],
  ['a receiver made otherwise', { ...well, fits: false }, 'start'],
  ['no receiver', { ...stuck, fits: false, settled: false }, 'start'],
  ['a receiver that says nothing', stuck, 'start'],
  ['a receiver that has just begun', { ...stuck, settled: false }, 'wait'],
])('%s', (_, situation, step) => {
  expect(decide(situation).do).toBe(step);
});

test.each([
  'FATAL:  no pg_hba.conf entry for replication connection from host "127.0.0.1", user "app", no encryption',
  'FATAL:  pg_hba.conf rejects replication connection for host "127.0.0.1", user "app", no encryption',
  'FATAL:  password authentication failed for user "app"',
  'FATAL:  number of requested standby connections exceeds "max_wal_senders" (currently 10)',
  'FATAL:  role "app" does not exist',
])('%s is for a person', (words) => {
  expect(decide(said(words))).toEqual({ do: 'complain', why: `pg_receivewal: error: ${words}` });
});

test('somebody else on our slot is for a person', () => {
  const taken = { ...well.seen, sender: { ...sender, program: 'pg_other' } };
  expect(decide({ ...well, seen: taken })).toMatchObject({ do: 'complain', why: expect.stringContaining('pg_other') });
});

test('whatever the state, log that is received of our own cluster never becomes a new generation', () => {
  const any = fc.record({
    fits: fc.boolean(),
    settled: fc.boolean(),
    words: fc.constantFrom('', 'requested WAL segment X has already been removed', 'no pg_hba.conf entry'),
    archive: fc.constantFrom<Situation['archive']>('in place', 'empty', 'elsewhere'),
    odd: fc.constantFrom([], ['000000010000000000000003.partial']),
    space: fc.boolean(),
  });
  fc.assert(
    fc.property(any, (one) => {
      expect(decide({ ...well, ...one }).do).not.toBe('begin');
    }),
  );
});

test.each([
  [{ free: 100 * GB, total: 200 * GB }, 20 * GB],
  [{ free: 40 * GB, total: 80 * GB }, 10 * GB],
  [{ free: 2 * GB, total: 80 * GB }, GB],
  [{ free: GB, total: 1.5 * GB }, 0.75 * GB],
])('with %j the slot may hold back %d', (space, cap) => {
  expect(slotCap(space)).toBe(cap);
});

test('a slot never holds back more than half of the partition', () => {
  const space = fc.tuple(fc.nat(2 ** 40), fc.nat(2 ** 40)).map(([one, other]) => ({
    free: Math.min(one, other),
    total: Math.max(one, other),
  }));
  fc.assert(
    fc.property(space, (one) => {
      expect(slotCap(one)).toBeLessThanOrEqual(one.total / 2);
    }),
  );
});

test('what an owner has set stays', () => {
  const settings = {
    wal_level: 'replica',
    summarize_wal: 'off',
    synchronous_standby_names: '',
    synchronous_commit: 'on',
  };
  const space = { free: 40 * GB, total: 80 * GB };
  expect(lackingSettings({ cap: -1, major: 17, settings }, space)).toEqual({
    max_slot_wal_keep_size: '10240MB',
    summarize_wal: 'on',
  });
  expect(lackingSettings({ cap: -1, major: 16, settings: { ...settings, summarize_wal: '' } }, space)).toEqual({
    max_slot_wal_keep_size: '10240MB',
  });
  expect(lackingSettings({ cap: 5 * GB, major: 17, settings: { ...settings, summarize_wal: 'on' } }, space)).toEqual(
    {},
  );
});

test('writing that had to stop goes on only with some space to spare', () => {
  expect(mayWrite({ free: 11, total: 100 }, false)).toBe(true);
  expect(mayWrite({ free: 11, total: 100 }, true)).toBe(false);
  expect(mayWrite({ free: 12, total: 100 }, true)).toBe(true);
  expect(mayWrite({ free: 9, total: 100 }, false)).toBe(false);
});
