import { asDeployError, DeployError } from '#core/errors';
import { AccessLog, type Request } from './access-log.ts';
import { whyUnwanted } from './call-off.ts';
import { climb, type Ladder, NO_CANARY } from './canary.ts';
import { doorsOf } from './door.ts';
import { aborted, type Ear, toldTo } from './ear.ts';
import { finish, takeBack, undo } from './finish.ts';
import { setCanary, setWarm } from './flags.ts';
import { gate, gateThroughProxy } from './gate.ts';
import { occupy, type Passage } from './passage.ts';
import type { ReleaseRecord } from './record.ts';
import { bringRoutes } from './routes.ts';
import { flip, projectOf, releaseFolder } from './slots.ts';
import { createSlot, startCreated } from './start.ts';
import { letGo, Swap } from './swap.ts';
import { beforeFlip, watch } from './watch.ts';

function refuseAborted({ isAborted }: Ear): void {
  if (isAborted) throw aborted();
}

/** Tells the laptop that a release is ready, and waits for its word. */
export async function waitForWord({ host, app, run }: Passage): Promise<void> {
  host.tell({ type: 'release.ready', app, release: run.release, tag: run.tag, slot: run.slot });
  await toldTo('flip', host.manner);
}

/** Starts a release in its empty slot and has it prove itself; resolves with the names of its containers. */
async function startAndGate(
  passage: Passage,
  record: ReleaseRecord,
  ear: Ear,
  swap: Swap | undefined,
): Promise<readonly string[]> {
  const { host, app, run } = passage;
  const doors = doorsOf(record, run.slot);
  if (doors.length === 0) {
    await bringRoutes(host, app, run.slot, record.props);
    return [];
  }
  const check = () => refuseAborted(ear);
  host.say(`starting ${run.tag} in the ${run.slot} slot`);
  const created = await createSlot(host, app, run.slot, releaseFolder(app, run.release));
  // What waits is led to where the new release is asked for it.
  if (swap !== undefined) await bringRoutes(host, app, run.slot, record.props);
  await swap?.begin();
  const started = await startCreated(host, created);
  await passage.reach('started');
  const { healthTimeout } = record.props;
  await gate(host, projectOf(app, run.slot), doors, swap?.left(healthTimeout) ?? healthTimeout, check);
  if (swap === undefined) await bringRoutes(host, app, run.slot, record.props);
  await Promise.all([gateThroughProxy(host, run.slot, doors, check), started.keepRunning()]);
  return started.names;
}

/** For how many seconds a release is watched, and with what. */
interface Watching {
  readonly seconds: number;
  readonly log: AccessLog;
  readonly earlier: readonly Request[];
}

async function watchOver(passage: Passage, { seconds, log, earlier }: Watching): Promise<void> {
  const { host, app, run } = passage;
  const { release, tag, slot, previous } = run;
  if (previous === undefined || seconds === 0) return;
  const {
    bad,
    seen: _,
    ...figures
  } = await watch(host, projectOf(app, slot), slot, {
    seconds,
    log,
    unwanted: () => whyUnwanted(host, run, app),
    measure: beforeFlip(earlier, slot),
  });
  host.tell({ type: 'release.watched', app, release, tag, ...figures });
  if (bad === undefined) return passage.reach('watched');
  await takeBack(host, app, run, bad);
  throw new DeployError(
    'release-taken-back',
    `${tag} was taken back ${Math.round(figures.seconds)} s after the flip, and ${previous.tag} serves again: ${bad}.`,
    {
      hint: `Its containers are kept: \`docker logs\` on the host shows more, and so does /var/log/nginx/${app}.json.`,
    },
  );
}

/**
 * Takes a release from its first preparation to its end. Until the flip whatever fails is undone and the old release
 * serves untouched; after it, a watch that is not content takes the release back.
 */
export async function goLive(
  passage: Passage,
  prepare: () => Promise<ReleaseRecord>,
  { canary = NO_CANARY, watches = true }: { readonly canary?: Ladder; readonly watches?: boolean } = {},
): Promise<void> {
  const { host, app } = passage;
  const { hold, ear } = host.manner;
  const log = await AccessLog.open(`/var/log/nginx/${app}.json`);
  const before = log.read();
  // Whether or not it comes to the flip, which is where it is asked for.
  before.catch(() => undefined);
  let seconds = 0;
  let swap: Swap | undefined;
  let ladder = NO_CANARY;
  try {
    const record = await prepare();
    if (watches) seconds = record.props.watch;
    refuseAborted(ear);
    swap = await Swap.of(passage, record);
    // Requests must not have to wait for other hosts, so all begin to swap at once.
    if (hold && swap !== undefined) await waitForWord(passage);
    const containers = passage.run.wasWarm === true ? undefined : await startAndGate(passage, record, ear, swap);
    await passage.reach('gated');
    if (hold && swap === undefined) await waitForWord(passage);
    // Without requests, or without another release beside it, there is nothing to share.
    if (doorsOf(record, passage.run.slot).length > 0 && passage.run.previous !== undefined) ladder = canary;
    if (containers !== undefined) {
      const { release, tag, slot } = passage.run;
      await occupy(app, slot, { release, tag, containers });
    }
  } catch (thrown) {
    const error = swap?.explain(asDeployError(thrown)) ?? asDeployError(thrown);
    await undo(host, app, passage.run, error.message.split('\n', 1)[0] ?? '').catch((reason: unknown) => {
      // What is left is undone by the next operation; why the release failed matters more.
      host.warn(`It could not be undone yet: ${asDeployError(reason).message}`);
    });
    throw error;
  }
  if (ladder.steps.length > 0 && swap === undefined) {
    await before;
    const seen = await climb(passage, ladder, log);
    if (seen !== undefined) await cutOver(passage, { seconds, log, earlier: seen });
    return;
  }
  // From here on what is logged is of the new release; the most of it was read before it began.
  const earlier = [...(await before), ...(await log.read())];
  await cutOver(passage, { seconds, log, earlier, swaps: swap !== undefined });
}

/** Sends all requests to a release that has proven itself, watches it and brings it to its end. */
export async function cutOver(
  passage: Passage,
  { swaps = false, ...watching }: Watching & { readonly swaps?: boolean },
): Promise<void> {
  const { host, app } = passage;
  const { release, tag, slot, previous, canary } = passage.run;
  if (previous !== undefined && !swaps) await setWarm(app, true);
  await flip(app, slot);
  if (swaps) await letGo(host, app, { release, tag });
  const from = previous === undefined ? {} : { from: previous.tag };
  host.tell({ type: 'release.flipped', app, release, tag, slot, ...from, seconds: performance.now() / 1000 });
  await passage.reach('flipped');
  // Its flags say nothing any more, but would again if the release were taken back.
  if (canary !== undefined) await setCanary(app, slot, 0);
  await watchOver(passage, watching);
  await finish(host, app, passage.run);
}
