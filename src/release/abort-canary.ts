import { setTimeout as sleep } from 'node:timers/promises';
import type { Host } from '#resources/resource';
import { callOff } from './call-off.ts';
import { takeBack } from './finish.ts';
import { requirePaused, resume } from './paused.ts';
import { recover } from './recovery.ts';
import { isOver, isPaused, type Run, readRun } from './run.ts';

/** Milliseconds between looks at what somebody else is at work on. */
const LOOK = 200;

/** Takes a paused canary back: all clients get the release that serves, in the same moment. */
export async function abortCanary(host: Host, app: string): Promise<void> {
  await recover(host, app);
  await takeBack(host, app, await resume(app, await requirePaused(app)), `${host.by} asked for it`);
}

/**
 * Has a canary taken back by whoever is at work on it: `isBusy` says whether somebody is. Resolves with how that run
 * ended; undefined where there is none to take back any more.
 */
export async function abortUnderWay(app: string, by: string, isBusy: () => Promise<boolean>): Promise<Run | undefined> {
  const isTried = (run: Run | undefined) => run?.state === 'canary' && !isPaused(run);
  if (!isTried(await readRun(app)) || !(await isBusy())) return undefined;
  await callOff(app, by);
  for (;;) {
    const run = await readRun(app);
    // It may have come to the flip in the same moment; then it is watched, and heard there.
    if (run === undefined || isOver(run)) return run;
    if (isPaused(run) || !(await isBusy())) return undefined;
    await sleep(LOOK);
  }
}
