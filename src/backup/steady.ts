/** Seconds between two records of a host on which something is done each day. */
const APART = 26 * 3600;

/** Seconds for which a clock has to go on as it should before what is old is told from what is new by it. */
const STEADY = 24 * 3600;

/**
 * Whether the clock has jumped within the last day, as far as the times of records tell, which are in the order in which
 * they were written; undefined where it has not. A host that was off looks the same, and waits as long.
 */
export function jumpOf(
  times: readonly string[],
  now: number,
): { readonly from: string; readonly to: string } | undefined {
  let later = now;
  for (const time of [...times].reverse()) {
    const at = Date.parse(time);
    const apart = (later - at) / 1000;
    if (Math.abs(apart) > APART) return { from: time, to: new Date(later).toISOString() };
    if ((now - at) / 1000 > STEADY) return undefined;
    later = at;
  }
  return undefined;
}
