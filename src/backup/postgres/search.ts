import { type Lsn, parseLsn } from './lsn.ts';
import { type Moment, parseMoment, type Target } from './target.ts';

/** Where replaying is to end: before the record at a position, or with it. */
export interface Stop {
  readonly lsn: Lsn;
  readonly inclusive: boolean;
}

/** What there is in a stretch of log. */
export interface Found {
  /** Where the target is; left out where it is not in it. */
  readonly stop?: Stop;
  /** When the last transaction before the stop, or of all, was committed. */
  readonly reached?: Moment;
  /** When the last of all was committed. */
  readonly newest?: Moment;
  /** Transactions that were committed before the stop. */
  readonly commits: number;
}

/** Looks through the lines of `pg_waldump` for a target. */
export interface Search {
  see(line: string): void;
  found(): Found;
}

const RECORD = /^rmgr: (\S+) .*?, tx: +(\d+), lsn: ([0-9A-F]+\/[0-9A-F]+), prev \S+, desc: (\S+) ?(.*)$/;
const ENDED = /^(?:(\d+): )?(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}) UTC/;
const COMMITS: ReadonlySet<string> = new Set(['COMMIT', 'COMMIT_PREPARED']);
const ENDS: ReadonlySet<string> = new Set([...COMMITS, 'ABORT', 'ABORT_PREPARED']);

/** The managers of records that tell when and where something ended; all others say nothing to us. */
export const MANAGERS = ['Transaction', 'XLOG'] as const;

/**
 * A search for a target, in a log of which nothing before `from` counts. It finds exactly where PostgreSQL itself would
 * stop, but for a name that was given twice, where it takes the newest.
 */
export function searchFor(target: Target, from: Lsn): Search {
  let stop: Stop | undefined;
  let last: Moment | undefined;
  let commits = 0;
  let atStop: Pick<Found, 'reached' | 'commits'> | undefined;

  const halt = (at: Stop): void => {
    stop = at;
    atStop = { commits, ...(last === undefined ? {} : { reached: last }) };
  };
  const ended = (kind: string, xid: string, lsn: Lsn, at: Moment): void => {
    if (stop === undefined && target.kind === 'time' && at > target.moment) halt({ lsn, inclusive: false });
    if (stop === undefined && target.kind === 'lsn' && lsn >= target.lsn) halt({ lsn: target.lsn, inclusive: false });
    if (COMMITS.has(kind)) {
      last = at;
      commits += 1;
    }
    if (stop === undefined && target.kind === 'xid' && xid === target.xid) halt({ lsn, inclusive: true });
  };
  return {
    see(line) {
      const [, , tx = '', position, kind = '', rest = ''] = RECORD.exec(line) ?? [];
      if (position === undefined) return;
      const lsn = parseLsn(position);
      if (lsn < from) return;
      if (target.kind === 'name' && kind === 'RESTORE_POINT' && rest === target.name) halt({ lsn, inclusive: true });
      if (!ENDS.has(kind)) return;
      const [, prepared, at] = ENDED.exec(rest) ?? [];
      if (at !== undefined) ended(kind, prepared ?? tx, lsn, parseMoment(`${at.replace(' ', 'T')}Z`));
    },
    found: () => ({
      ...(stop === undefined ? {} : { stop }),
      ...(last === undefined ? {} : { newest: last }),
      ...(atStop ?? { commits, ...(last === undefined ? {} : { reached: last }) }),
    }),
  };
}

/** Bytes of a page of log, and of what stands at its beginning; the first page of a segment has more of it. */
const PAGE = 8192n;
const SHORT = 24n;
const LONG = 40n;

/** Where the record that follows one of a length begins, as PostgreSQL lays them out. */
export function afterRecord(lsn: Lsn, length: bigint, segmentBytes: bigint): Lsn {
  const headAt = (page: Lsn): bigint => (page % segmentBytes === 0n ? LONG : SHORT);
  let at = lsn;
  let left = length;
  while (left > PAGE - (at % PAGE)) {
    left -= PAGE - (at % PAGE);
    at += PAGE - (at % PAGE);
    at += headAt(at);
  }
  at = ((at + left + 7n) / 8n) * 8n;
  return at % PAGE === 0n ? at + headAt(at) : at;
}
