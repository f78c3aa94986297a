import type { Host } from '#resources/resource';
import { takeBack } from './finish.ts';
import { requirePaused } from './paused.ts';
import { recover } from './recovery.ts';

/** Takes a paused canary back: all clients get the release that serves, in the same moment. */
export async function abortCanary(host: Host, app: string): Promise<void> {
  await recover(host, app);
  await takeBack(host, app, await requirePaused(app), `${host.by} asked for it`);
}
