import { intervalOf } from '#core/cron-due';
import { formatSeconds } from '#core/units';
import type { DrillCheck, Source } from '#protocol/backup';

/** Seconds that the newest moment of what has no times of its own may lie back: log is shipped each minute. */
const LOG = 3600;

/** How many of its intervals the newest of copies that are made at times may lie back. */
const INTERVALS = 2;

/** Whether the newest data in a repository is as new as it should be: a copy may be whole, and of last year. */
export function recentCheck(source: Source, newest: number, now: number): DrillCheck {
  const interval = source.type === 'postgres' ? undefined : intervalOf(source.schedule, now);
  const most = interval === undefined ? LOG : (interval / 1000) * INTERVALS;
  const age = (now - newest) / 1000;
  const when = Number.isFinite(newest) ? new Date(newest).toISOString() : 'no moment';
  return {
    name: 'newest data',
    result: age <= most ? 'passed' : 'failed',
    found: `of ${when}, ${formatSeconds(Math.max(0, age))} before the drill; ${Math.round(most / 3600)} h would still do`,
    duration: 0,
  };
}
