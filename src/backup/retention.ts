/** What retention has to know of a copy. */
export interface Kept {
  readonly id: string;
  /** ISO 8601: the moment up to which it can be restored without any other. */
  readonly at: string;
  /** Whether everything that its restoration needs is in the repository. */
  readonly complete: boolean;
}

/** How much is kept, as the inventory says. */
export interface Keeping {
  /** Seconds back from the newest complete copy to which every moment can be restored. */
  readonly keep: number;
  /** Complete copies that stay however old they are. */
  readonly atLeast: number;
}

/** Seconds for which a copy that was never completed is left for whoever may still be at it. */
const UNFINISHED = 86_400;

const seconds = (at: string): number => Date.parse(at) / 1000;

/**
 * The copies that may go, oldest first. Age is measured from the newest complete copy, not by the clock: while nothing
 * succeeds, nothing goes. The window stays covered: the newest copy older than it is kept too. And no run takes more
 * than half of the complete ones, so that a clock that jumped costs old copies over weeks, with somebody to notice,
 * instead of all at once.
 */
export function expendable<C extends Kept>(copies: readonly C[], { keep, atLeast }: Keeping): readonly C[] {
  const sorted = [...copies].sort((one, other) => seconds(one.at) - seconds(other.at));
  const complete = sorted.filter((copy) => copy.complete);
  const newest = complete.at(-1);
  if (newest === undefined) return [];
  const border = seconds(newest.at) - keep;
  const covering = complete.findLastIndex(({ at }) => seconds(at) <= border);
  const most = Math.min(covering, complete.length - atLeast, Math.floor(complete.length / 2));
  const old = new Set(complete.slice(0, Math.max(0, most)));
  const abandoned = seconds(newest.at) - UNFINISHED;
  return sorted.filter((copy) => old.has(copy) || (!copy.complete && seconds(copy.at) < abandoned));
}
