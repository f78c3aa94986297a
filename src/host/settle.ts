import { recoverReleases } from '#release/recovery';
import { readFacts } from './facts.ts';
import { newOperation } from './journal.ts';
import { takeLock } from './lock.ts';
import { createHost } from './machine.ts';
import { noteRecovered } from './recovered.ts';

/** What the lock says while the host tidies up by itself. */
export const SETTLE = 'settle';

/**
 * Ends what a release has left to be ended later, started by systemd: the slot that was kept warm, a release that was
 * interrupted while requests waited for it, and a canary that was interrupted or has turned bad. Rejects with `locked`,
 * and is started again by systemd, where an operation is at work on the host.
 */
export async function settle(): Promise<number> {
  const by = 'systemd timer';
  await using _ = await takeLock({ operation: newOperation(), verb: SETTLE, by });
  const host = createHost(await readFacts(), { say: console.log, warn: console.error }, { by });
  await noteRecovered(await recoverReleases(host));
  return 0;
}
