import type { Recovered } from '#release/recovery';
import { appendLedger } from './ledger.ts';

/** What the ledger says of releases that a killed run has left on their way. */
export async function noteRecovered(recovered: readonly Recovered[]): Promise<void> {
  for (const { app, release, tag, state, by, how } of recovered) {
    await appendLedger(app, { who: by, op: 'release', args: { release, tag, state }, result: `interrupted, ${how}` });
  }
}
