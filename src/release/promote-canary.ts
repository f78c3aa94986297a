import type { Host } from '#resources/resource';
import { AccessLog } from './access-log.ts';
import { forgetCallOff } from './call-off.ts';
import { climb, lately } from './canary.ts';
import { cutOver, waitForWord } from './go-live.ts';
import { Passage } from './passage.ts';
import { requirePaused, resume } from './paused.ts';
import { readRecord } from './record.ts';
import { recover } from './recovery.ts';
import { readSlots } from './slots.ts';

/** Takes a paused canary to its next share of the clients, where it pauses again, or to all of them after the last. */
export async function promoteCanary(host: Host, app: string): Promise<void> {
  await recover(host, app);
  const run = await requirePaused(app);
  const { canary, release, previous } = run;
  const record = await readRecord(app, release);
  const passage = Passage.of(host, app, await readSlots(app), run);
  if (host.manner.hold) await waitForWord(passage);
  await forgetCallOff(app);
  const log = await AccessLog.open(`/var/log/nginx/${app}.json`);
  const seen = (await lately(app, run)).filter(({ slot }) => slot === previous.slot);
  const { rest: steps, watch, pause } = canary;
  if (steps.length > 0) {
    await climb(passage, { steps, watch, pause }, log);
    return;
  }
  passage.run = await resume(app, run);
  await log.read();
  await cutOver(passage, { seconds: record?.props.watch ?? 0, log, earlier: seen });
}
