import type { DrillReport, Standing } from '#protocol/backup';

/** What a drill may be asked to restore: the newest there is, some moment, or this one (ISO 8601). */
export type DrillTarget = 'latest' | 'random' | (string & {});

/** Milliseconds of a day. */
const DAY = 86_400_000;

/**
 * What cron's next drill of a source is to restore. Every second time it is the newest there is, which is what an
 * accident takes; the others are moments that nobody has chosen, since what happens to lie at the end is no proof of the
 * rest.
 */
export function nextTarget(earlier: readonly DrillReport[]): DrillTarget {
  return earlier.length % 2 === 0 ? 'latest' : 'random';
}

/**
 * A moment that can be restored, in milliseconds: in turns of the last 24 hours and of the whole window. `chance` is from
 * 0 up to 1. Undefined where nothing can be restored.
 */
export function randomMoment(
  { oldest, newest }: Pick<Standing, 'oldest' | 'newest'>,
  earlier: readonly DrillReport[],
  chance: number,
): number | undefined {
  if (oldest === undefined || newest === undefined) return undefined;
  const drawn = earlier.filter(({ target }) => target !== 'latest').length;
  const last = Date.parse(newest);
  const first = Math.max(Date.parse(oldest), drawn % 2 === 0 ? last - DAY : Number.NEGATIVE_INFINITY);
  return Math.round(first + (last - first) * chance);
}
