import { describe, expect, test } from 'vitest';
import { parseCheck, parseInfo, savesIn } from '#backup/redis/server';

const INFO = [
  '# Persistence',
  'loading:0',
  'rdb_bgsave_in_progress:0',
  'rdb_last_save_time:1777864800',
  'rdb_last_bgsave_status:ok',
  'aof_rewrite_in_progress:0',
  '',
].join('\r\n');

const saves = (from: string, to: string) => savesIn(parseInfo(INFO.replace(from, to)));

describe('what Redis says of its saves', () => {
  test('is read as it stands', () => {
    expect(savesIn(parseInfo(INFO))).toEqual({ last: 1777864800, isBusy: false, isWell: true });
    expect(saves('status:ok', 'status:err').isWell).toBe(false);
  });

  test.each(['loading', 'rdb_bgsave_in_progress', 'aof_rewrite_in_progress'])(
    '%s keeps a save from beginning',
    (key) => {
      expect(saves(`${key}:0`, `${key}:1`).isBusy).toBe(true);
    },
  );
});

describe('what redis-check-rdb says', () => {
  const whole =
    '[offset 0] Checking RDB file /data/dump.rdb\n[offset 147] Checksum OK\n[offset 147] \\o/ RDB looks OK! \\o/\n[info] 1203 keys read\n[info] 12 expires\n[info] 3 already expired\n';

  test('is read as it stands', () => {
    expect(parseCheck(whole)).toMatchObject({ isWell: true, keys: 1203, expiring: 12, expired: 3 });
  });

  test('is no good without its last word', () => {
    const broken =
      '[offset 0] Checking RDB file /data/dump.rdb\n--- RDB ERROR DETECTED ---\n[offset 94] RDB CRC error\n';
    expect(parseCheck(broken)).toMatchObject({ isWell: false, said: '--- RDB ERROR DETECTED ---' });
    expect(parseCheck('').isWell).toBe(false);
  });
});
