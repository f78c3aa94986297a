import { asDeployError, DeployError } from '#core/errors';
import type { Host } from '#resources/resource';
import { inspectAll, startContainer, stopAll } from './containers.ts';
import { doorsOf } from './door.ts';
import { drained } from './drain.ts';
import { gate } from './gate.ts';
import { endHold, type Held, heldSince, holdRequests, releaseRequests } from './hold.ts';
import { addressesIn, type Passage } from './passage.ts';
import { type ReleaseRecord, readRecord, storedReleases } from './record.ts';
import { arm, disarm, forgetRescue } from './rescue.ts';
import { holdAs } from './routes.ts';
import { type Run, writeRun } from './run.ts';
import { flip, otherSlot, projectOf, releaseFolder, type Slot } from './slots.ts';
import { compose, inOrder } from './start.ts';

/** The part of the time in which requests may wait that those under way have to end: the rest is for stop and start. */
const DRAIN = 1 / 3;

/** Seconds a container gets after SIGTERM where it does not say itself: Docker's own default. */
const GRACE = 10;

/** Seconds that the old version has to answer again; nginx's patience with what waits is not much longer. */
const AGAIN = 15;

/** A release that is named to a person. */
type Named = Pick<Run, 'release' | 'tag'>;

/** Which release stands in which slot, as far as the host still knows them. */
type Standing = Readonly<Record<Slot, ReleaseRecord | undefined>>;

/** What nginx leads to one of two releases, and where each of them answers. */
export function heldOf(standing: Readonly<Record<Slot, Pick<ReleaseRecord, 'props'> | undefined>>): readonly Held[] {
  const gates = (slot: Slot) => standing[slot]?.props.gates ?? [];
  const names = new Set([...gates('blue'), ...gates('green')].map(({ upstream }) => upstream));
  return [...names].flatMap((upstream) => {
    const addressIn = (slot: Slot): string | undefined => {
      const others = gates(otherSlot(slot)).filter((one) => one.upstream === upstream);
      // A service that answers at another port there is still the one that is meant.
      const gate =
        gates(slot).find((one) => one.upstream === upstream) ??
        gates(slot).find(({ service }) => others.some((other) => other.service === service)) ??
        others[0];
      const address = gate?.addresses[slot][0];
      return address === undefined ? undefined : `${address}:${gate?.port}`;
    };
    const [blue, green] = [addressIn('blue'), addressIn('green')];
    return blue === undefined || green === undefined ? [] : [{ upstream, addresses: { blue, green } }];
  });
}

async function standingIn(app: string, run: Run): Promise<Standing> {
  const { previous } = run;
  const [to, from] = await Promise.all([
    readRecord(app, run.release),
    previous === undefined ? undefined : readRecord(app, previous.release),
  ]);
  return run.slot === 'blue' ? { blue: to, green: from } : { blue: from, green: to };
}

/** Has requests wait; should we be killed, the host lets them go on by itself. */
async function hold(host: Host, app: string, run: Run): Promise<void> {
  await arm(host, app);
  await holdRequests(host, app, heldOf(await standingIn(app, run)));
}

/** Lets requests that waited go on to the slot that serves by now. */
export async function letGo(host: Host, app: string, { release, tag }: Named): Promise<void> {
  const since = await heldSince(app);
  await releaseRequests(app);
  await disarm(app);
  if (since === undefined) return;
  host.tell({ type: 'release.resumed', app, release, tag, seconds: (Date.now() - since) / 1000 });
}

/** Has the requests to a slot end, within a limit in seconds, and stops it. */
async function vacate(host: Host, app: string, slot: Slot, { release, tag }: Named, limit: number): Promise<void> {
  const started = performance.now();
  const left = await drained(host, await addressesIn(app, slot, release, undefined), limit);
  const seconds = (performance.now() - started) / 1000;
  host.tell({ type: 'release.drained', app, release, tag, left, seconds });
  await stopAll(host, projectOf(app, slot), GRACE);
}

async function startAgain(host: Host, app: string, slot: Slot, { release, tag }: Named): Promise<void> {
  const project = projectOf(app, slot);
  const containers = await inspectAll(host, project);
  // Where there are none, somebody has removed them, or the engine does not answer, which Compose tells.
  if (containers.length === 0) await compose(host, app, slot, releaseFolder(app, release), 'up');
  for (const group of inOrder(containers)) await Promise.all(group.map(({ Id }) => startContainer(host, Id)));
  const record = await readRecord(app, release);
  if (record === undefined) return;
  try {
    await gate(host, project, doorsOf(record, slot), Math.min(record.props.healthTimeout, AGAIN));
  } catch (thrown) {
    const error = asDeployError(thrown);
    if (error.code !== 'release-rejected') throw error;
    host.warn(`${tag} was started again and does not answer well: ${error.message}`);
  }
}

/** Brings the release back that was stopped for another which never served. */
export async function swapBack(host: Host, app: string, { previous }: Run): Promise<void> {
  if (previous === undefined) return;
  await startAgain(host, app, previous.slot, previous);
  await letGo(host, app, previous);
}

/** Brings the release back that was stopped for another which served and was not good enough: the same swap again. */
export async function takeBackBySwap(host: Host, app: string, run: Run): Promise<void> {
  const { previous } = run;
  if (previous === undefined) return;
  await writeRun(app, { ...run, goesBack: true });
  const { drain = 0, hold: limit = 0 } = (await readRecord(app, run.release))?.props ?? {};
  await holdAs(app, previous.slot);
  await hold(host, app, run);
  await vacate(host, app, run.slot, run, Math.min(drain, limit * DRAIN));
  await startAgain(host, app, previous.slot, previous);
  await flip(app, previous.slot);
  await letGo(host, app, previous);
}

/** Takes off the host what swaps of an app have left. */
export async function forgetSwaps(host: Host, app: string): Promise<void> {
  const gates = (await storedReleases(app)).flatMap(({ record }) => record.props.gates);
  await endHold(host, [...new Set(gates.map(({ upstream }) => upstream))]);
  await forgetRescue(app);
}

/** The change from one release to another that cannot run beside it: requests wait from its beginning to the flip. */
export class Swap {
  readonly #passage: Passage;
  readonly #record: ReleaseRecord;
  #deadline = Number.POSITIVE_INFINITY;

  private constructor(passage: Passage, record: ReleaseRecord) {
    this.#passage = passage;
    this.#record = record;
  }

  /** The swap that a release needs; undefined where the two may run side by side, or there is but one. */
  static async of(passage: Passage, record: ReleaseRecord): Promise<Swap | undefined> {
    const { previous, wasWarm } = passage.run;
    if (previous === undefined || wasWarm === true || record.props.gates.length === 0) return undefined;
    const old = await readRecord(passage.app, previous.release);
    return record.props.swap || old?.props.swap === true ? new Swap(passage, record) : undefined;
  }

  /** Has requests wait from now on, and resolves once the old release has ended. */
  async begin(): Promise<void> {
    const { host, app } = this.#passage;
    const { hold: limit, drain } = this.#record.props;
    await this.#passage.swap();
    const { previous } = this.#passage.run;
    if (previous === undefined) return;
    await hold(host, app, this.#passage.run);
    this.#deadline = performance.now() + limit * 1000;
    await this.#passage.reach('held');
    await vacate(host, app, previous.slot, previous, Math.min(drain, limit * DRAIN));
  }

  /** Seconds that are left of a limit, since requests wait no longer than theirs. */
  left(limit: number): number {
    return Math.max(0, Math.min(limit, (this.#deadline - performance.now()) / 1000));
  }

  /** What a failure means to a person who reads that requests had to wait. */
  explain(error: DeployError): DeployError {
    const { previous, swaps } = this.#passage.run;
    if (swaps !== true || error.code !== 'release-rejected') return error;
    const isLate = performance.now() >= this.#deadline;
    const limit = isLate
      ? ` Requests wait for ${this.#record.props.hold} s at most: raise \`release.hold\` where it merely needs longer.`
      : '';
    const untouched = `${previous?.tag} was started again and serves; requests have waited meanwhile.`;
    return new DeployError('release-rejected', error.message, {
      hint: `${error.hint.replace(/^Traffic was not touched\./, untouched)}${limit}`,
      cause: error,
    });
  }
}
