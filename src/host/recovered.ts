import type { Recovered } from '#release/recovery';
import { appendLedger } from './ledger.ts';

/** What the ledger says of releases that a killed run has left on their way, and of canaries that have turned bad. */
export async function noteRecovered(recovered: readonly Recovered[]): Promise<void> {
  for (const { app, release, tag, state, by, how, why } of recovered) {
    const args = { release, tag, state };
    await appendLedger(
      app,
      why === undefined
        ? { who: by, op: 'release', args, result: `interrupted, ${how}` }
        : { who: by, op: 'canary', args: { ...args, why }, result: how },
    );
  }
}
