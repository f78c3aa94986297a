import type { Host } from '#resources/resource';
import { setCanary } from './flags.ts';
import { stopOverseer } from './overseer.ts';

/** Sends all clients to the slot that serves, in the same moment. */
export async function endCanary(host: Host, app: string): Promise<void> {
  await setCanary(app, 'blue', 0);
  await stopOverseer(host, app);
}
