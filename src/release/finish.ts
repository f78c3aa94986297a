import { asDeployError } from '#core/errors';
import type { Host } from '#resources/resource';
import { awaitCommand } from './command.ts';
import { removeAll, stopAll } from './containers.ts';
import { drained } from './drain.ts';
import { setCanary, setWarm } from './flags.ts';
import { stopOverseer } from './overseer.ts';
import { addressesIn, occupy, reach } from './passage.ts';
import { prune } from './prune.ts';
import { readOutcome, readRecord, writeOutcome } from './record.ts';
import type { Run } from './run.ts';
import { flip, projectOf } from './slots.ts';
import { letGo, swapBack, takeBackBySwap } from './swap.ts';
import { keepWarm, leaveCold } from './warm.ts';
import { replaceWorkers } from './workers.ts';

/** Seconds a rejected release gets after SIGTERM: nobody waits for an answer of it. */
const GRACE = 1;

/** Seconds it gets at most while requests wait for the one that is to follow it. */
const HURRY = 5;

/** Seconds a release that was taken back gets after SIGTERM: Docker's own default. */
const LEAVE = 10;

async function drainOld(host: Host, app: string, run: Run): Promise<void> {
  const { previous } = run;
  if (previous === undefined || run.swaps === true) return;
  const record = await readRecord(app, run.release);
  const addresses = await addressesIn(app, previous.slot, previous.release, record);
  const limit = record?.props.drain ?? 0;
  const started = performance.now();
  const left = await drained(host, addresses, limit);
  const seconds = (performance.now() - started) / 1000;
  host.tell({ type: 'release.drained', app, release: previous.release, tag: previous.tag, left, seconds });
}

/**
 * Brings a release that serves to its end: new workers, the old slot drained and kept warm, what nobody goes back to
 * dropped. Workers that do not start are told once all else is done: the release serves.
 */
export async function finish(host: Host, app: string, run: Run): Promise<void> {
  if (run.swaps === true) await letGo(host, app, run);
  if (run.canary !== undefined) await setCanary(app, run.slot, 0);
  const [failure] = await Promise.all([
    replaceWorkers(host, app, run).then(
      () => undefined,
      (thrown: unknown) => asDeployError(thrown),
    ),
    drainOld(host, app, run),
  ]);
  const past = await reach(host, app, run, 'drained');
  const { previous } = run;
  await writeOutcome(app, run.release, {
    served: true,
    at: new Date().toISOString(),
    by: run.by,
    ...(run.departs === true ? { departs: true } : {}),
    ...(previous === undefined ? {} : { after: previous.release }),
  });
  const { warm = 0 } = (await readRecord(app, run.release))?.props ?? {};
  if (previous !== undefined) {
    if (run.swaps === true) await leaveCold(app, previous.slot);
    else await keepWarm(host, app, previous.slot, warm);
  }
  await prune(host, app);
  if (run.canary !== undefined) await stopOverseer(host, app);
  await reach(host, app, past, 'done');
  if (failure !== undefined) throw failure;
}

async function noteFailure(app: string, release: string, why: string): Promise<void> {
  // A release that has served before stays one to go back to.
  if ((await readOutcome(app, release))?.served === true) return;
  if ((await readRecord(app, release)) === undefined) return;
  await writeOutcome(app, release, { served: false, at: new Date().toISOString(), why });
}

/** Undoes a release that never served: its containers are stopped and kept for a look. */
export async function undo(host: Host, app: string, run: Run, why: string): Promise<void> {
  if (run.wasWarm !== true) {
    // A migration that is under way is not cut off in the middle.
    if ((await awaitCommand(host, app)) === 0) await removeAll(host, projectOf(app, 'command'));
    await occupy(app, run.slot, undefined);
    await stopAll(host, projectOf(app, run.slot), GRACE, run.swaps === true ? HURRY : undefined);
  }
  if (run.swaps === true) await swapBack(host, app, run);
  await noteFailure(app, run.release, why);
  await reach(host, app, run, 'rejected', why);
}

/** Sends requests back to the release that served before, and takes down the one that was to follow it. */
export async function takeBack(host: Host, app: string, run: Run, why: string): Promise<void> {
  const { previous } = run;
  if (previous === undefined) return;
  if (run.canary !== undefined) await setCanary(app, run.slot, 0);
  if (run.swaps === true) await takeBackBySwap(host, app, run);
  else await flip(app, previous.slot);
  host.tell({ type: 'release.taken-back', app, release: run.release, tag: run.tag, why });
  const record = await readRecord(app, run.release);
  if (run.swaps !== true) {
    await drained(host, await addressesIn(app, run.slot, run.release, undefined), record?.props.drain ?? 0);
  }
  await setWarm(app, false);
  await stopAll(host, projectOf(app, run.slot), LEAVE);
  await occupy(app, run.slot, undefined);
  await noteFailure(app, run.release, why);
  if (run.canary !== undefined) await stopOverseer(host, app);
  await reach(host, app, run, 'taken-back', why);
}
