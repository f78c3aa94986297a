import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatLsn } from '#backup/postgres/lsn';
import { afterRecord, type Found, searchFor } from '#backup/postgres/search';
import { formatMoment, type Moment, parseMoment, type Target } from '#backup/postgres/target';

/** What pg_waldump 17 prints; times as it does with TZ=UTC. */
function record(kind: string, lsn: bigint, rest: string, tx = 0): string {
  const manager = kind === 'RESTORE_POINT' || kind === 'FPI' ? 'XLOG' : 'Transaction';
  const words = `rmgr: ${manager.padEnd(11)} len (rec/tot):     34/    34, tx: ${String(tx).padStart(10)}`;
  return `${words}, lsn: ${formatLsn(lsn)}, prev ${formatLsn(lsn - 8n)}, desc: ${kind} ${rest}`;
}

function ended(kind: string, lsn: bigint, at: Moment, tx: number, more = '; inval msgs: catcache 7'): string {
  const time = formatMoment(at).replace('T', ' ').replace('Z', '');
  const micros = time.length === 23 ? `${time}000` : time;
  return record(kind, lsn, `${kind.endsWith('_PREPARED') ? `${tx}: ` : ''}${micros} UTC${more}`, tx);
}

const NOON = parseMoment('2026-11-21T12:00:00Z');
const second = (n: number): Moment => NOON + BigInt(n) * 1_000_000n;

const LOG = [
  ended('COMMIT', 0x100n, second(1), 701),
  record('FPI', 0x140n, 'blkref #0: rel 1663/5/2619 blk 0'),
  ended('ABORT', 0x180n, second(2), 702),
  record('RESTORE_POINT', 0x1c0n, "before Anna's import"),
  ended('COMMIT', 0x200n, second(3), 703),
  ended('COMMIT_PREPARED', 0x240n, second(4), 704),
  record('RESTORE_POINT', 0x280n, 'twice'),
  ended('COMMIT', 0x2c0n, second(5), 705, ''),
  record('RESTORE_POINT', 0x300n, 'twice'),
  ended('COMMIT', 0x340n, second(6), 706),
];

function find(target: Target, from = 0n, lines: readonly string[] = LOG): Found {
  const search = searchFor(target, from);
  for (const line of lines) search.see(line);
  return search.found();
}

describe('a search through a log', () => {
  test('stops before the first transaction that ended later, the one of that very microsecond included', () => {
    expect(find({ kind: 'time', moment: second(3) })).toMatchObject({
      stop: { lsn: 0x240n, inclusive: false },
      reached: second(3),
      commits: 2,
    });
    expect(find({ kind: 'time', moment: second(3) - 1n })).toMatchObject({ stop: { lsn: 0x200n }, reached: second(1) });
    // One that was rolled back is an end as well, though it changed nothing.
    expect(find({ kind: 'time', moment: second(1) })).toMatchObject({ stop: { lsn: 0x180n }, reached: second(1) });
  });

  test('finds no stop where nothing ended later, and tells the newest', () => {
    const found = find({ kind: 'time', moment: second(60) });
    expect(found.stop).toBeUndefined();
    expect(found.newest).toBe(second(6));
  });

  test('stops with a restore point, the newest of its name', () => {
    expect(find({ kind: 'name', name: "before Anna's import" })).toMatchObject({
      stop: { lsn: 0x1c0n, inclusive: true },
      reached: second(1),
    });
    expect(find({ kind: 'name', name: 'twice' })).toMatchObject({ stop: { lsn: 0x300n }, reached: second(5) });
    expect(find({ kind: 'name', name: 'twic' }).stop).toBeUndefined();
  });

  test('stops with a transaction, a prepared one too', () => {
    expect(find({ kind: 'xid', xid: '703' })).toMatchObject({
      stop: { lsn: 0x200n, inclusive: true },
      reached: second(3),
    });
    expect(find({ kind: 'xid', xid: '704' })).toMatchObject({ stop: { lsn: 0x240n }, commits: 3 });
    expect(find({ kind: 'xid', xid: '70' }).stop).toBeUndefined();
  });

  test('stops before a position', () => {
    expect(find({ kind: 'lsn', lsn: 0x200n })).toMatchObject({
      stop: { lsn: 0x200n, inclusive: false },
      reached: second(1),
    });
    expect(find({ kind: 'lsn', lsn: 0x201n })).toMatchObject({ stop: { lsn: 0x201n }, reached: second(3) });
  });

  test('counts nothing from before the base', () => {
    expect(find({ kind: 'time', moment: second(0) }, 0x200n)).toMatchObject({ stop: { lsn: 0x200n }, commits: 0 });
    expect(find({ kind: 'xid', xid: '701' }, 0x200n).stop).toBeUndefined();
  });

  test('by time keeps exactly what had been committed then', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(100), { minLength: 1, maxLength: 40 }), fc.nat(4000), (steps, wanted) => {
        let at = 0;
        const times = steps.map((step) => {
          at += step;
          return at;
        });
        const lines = times.map((time, index) => ended('COMMIT', BigInt(0x100 + index * 64), second(time), index));
        const { commits, reached } = find({ kind: 'time', moment: second(wanted) }, 0n, lines);
        const kept = times.filter((time) => time <= wanted);
        expect(commits).toBe(kept.length);
        expect(reached).toBe(kept.length === 0 ? undefined : second(kept.at(-1) ?? 0));
      }),
    );
  });
});

describe('the record after one', () => {
  const SEGMENT = 16n * 1024n ** 2n;

  test('begins at a multiple of eight', () => {
    expect(afterRecord(0x1000028n, 114n, SEGMENT)).toBe(0x10000a0n);
  });

  test('skips the beginnings of the pages that it reaches over', () => {
    // 0x1001fe8 is 24 bytes before a page; the other 10 follow its 24 bytes of header.
    expect(afterRecord(0x1001fe8n, 34n, SEGMENT)).toBe(0x1002028n);
    expect(afterRecord(0x1001fe8n, 24n, SEGMENT)).toBe(0x1002018n);
    // The first page of a segment has more.
    expect(afterRecord(0x1ffffe8n, 34n, SEGMENT)).toBe(0x2000038n);
  });

  test('is as far away as the record is long, page headers apart', () => {
    fc.assert(
      fc.property(
        fc.bigInt({ min: 5n, max: 1_000_000n }),
        fc.bigInt({ min: 24n, max: 100_000n }),
        (eighths, length) => {
          const lsn = eighths * 8n;
          fc.pre(lsn % 8192n >= 40n);
          const next = afterRecord(lsn, length, SEGMENT);
          const pages = next / 8192n - lsn / 8192n;
          const apart = next - lsn - length;
          expect(next % 8n).toBe(0n);
          expect(apart >= pages * 24n && apart < pages * 24n + 16n + 8n).toBe(true);
        },
      ),
    );
  });
});
