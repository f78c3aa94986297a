import { createHash } from 'node:crypto';
import { DeployError } from '#core/errors';
import type { ReleaseProps } from '#resources/release';
import type { Host } from '#resources/resource';
import { runCommand } from './command.ts';
import { containersOf, nameOf } from './containers.ts';
import { lookUp } from './domains.ts';
import { doorsOf } from './door.ts';
import { toldTo } from './ear.ts';
import { gate } from './gate.ts';
import { goLive } from './go-live.ts';
import { identitiesOf, releaseIdOf } from './identities.ts';
import { dropImages, pinImages } from './images.ts';
import { stopOverseer } from './overseer.ts';
import { empty, occupy, Passage } from './passage.ts';
import { readPaused, refusePaused } from './paused.ts';
import { preflight } from './preflight.ts';
import { type ReleaseRecord, readOutcome, readRecord, stage, storedReleases } from './record.ts';
import { recover } from './recovery.ts';
import { bringRoutes, forgetRoutes, isRouted } from './routes.ts';
import type { PausedRun } from './run.ts';
import { forgetReleases, PARTS, projectOf, readSlots, releaseFolder, type Slot, type Slots } from './slots.ts';
import { compose } from './start.ts';
import { forgetSwaps } from './swap.ts';
import { clearTimer } from './warm.ts';
import { startWorkers } from './workers.ts';

/** Whether a release that is live as declared is made anew where a tag of its images has moved. */
interface Asking {
  readonly anew?: boolean;
}

/** What serves an app now. */
export interface Live {
  readonly release: string;
  /** What was declared for it. */
  readonly declared: string;
  readonly tag: string;
  readonly slot: Slot;
  /** Containers of the live slot or of the workers that should run and do not. */
  readonly missing: readonly string[];
  /** The release the workers run. */
  readonly workers: string | undefined;
  /** Who brought it live and when, where it was not what the inventory named. */
  readonly departed: { readonly by: string; readonly at: string } | undefined;
  /** What each image is, by its reference. */
  readonly images: Readonly<Record<string, string>>;
  /** The release that some of the clients get, where that is to stay so for now. */
  readonly canary: (Content & { readonly run: PausedRun }) | undefined;
  /** Whether nginx is told of the routes as the host remembers them. */
  readonly isRouted: boolean;
}

/**
 * The digest of all that a release consists of as it is declared, not of how it is brought live. What its images
 * are beneath their names is not in it.
 */
export function declaredId({ images, tag, environments, slots, workers, gates, routes }: ReleaseProps): string {
  const content = { images, tag, environments, slots, workers, gates, routes };
  return createHash('sha256').update(JSON.stringify(content)).digest('hex').slice(0, 12);
}

function imagesIn(record: ReleaseRecord | undefined): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.values(record?.images ?? {}).map(({ declared, digest }) => [declared, digest]));
}

type Content = Pick<Live, 'declared' | 'images'>;

function contentOf(record: ReleaseRecord | undefined, id: string): Content {
  return { declared: record?.declared ?? id, images: imagesIn(record) };
}

/** Whether the live images are those that the laptop vouches for; where it vouches for none, they are. */
export function arePinned(images: Readonly<Record<string, string>>, { pins = {} }: ReleaseProps): boolean {
  return Object.entries(pins).every(([reference, pin]) => images[reference] === pin);
}

/** What serves an app now; undefined before its first release. */
export async function readLive(host: Host, app: string): Promise<Live | undefined> {
  const slots = await readSlots(app);
  if (slots.live === undefined) return undefined;
  const occupant = slots[slots.live];
  if (occupant === undefined) return undefined;
  const [paused, serving, working] = await Promise.all([
    readPaused(app),
    containersOf(host, projectOf(app, slots.live)),
    slots.workers === undefined ? [] : containersOf(host, projectOf(app, 'workers')),
  ]);
  const [record, outcome] = await Promise.all([readRecord(app, occupant.release), readOutcome(app, occupant.release)]);
  const running = new Set([...serving, ...working].filter(({ State }) => State === 'running').map(nameOf));
  const wanted = [...occupant.containers, ...(slots.workers?.containers ?? [])];
  return {
    release: occupant.release,
    ...contentOf(record, occupant.release),
    tag: occupant.tag,
    slot: slots.live,
    missing: wanted.filter((name) => !running.has(name)),
    workers: slots.workers?.release,
    departed: outcome?.departs === true ? { by: outcome.by ?? 'somebody', at: outcome.at } : undefined,
    canary:
      paused === undefined
        ? undefined
        : { run: paused, ...contentOf(await readRecord(app, paused.release), paused.release) },
    isRouted: await isRouted(host, app),
  };
}

/** Starts what should run of the live release and does not. */
async function revive(host: Host, props: ReleaseProps, release: string, slots: Slots): Promise<void> {
  const { app, tag } = props;
  const { live } = slots;
  if (live === undefined) return;
  const folder = releaseFolder(app, release);
  if (props.gates.length > 0) {
    await compose(host, app, live, folder, 'up');
    const containers = (await containersOf(host, projectOf(app, live))).map(nameOf).sort();
    await occupy(app, live, { release, tag, containers });
  }
  await gate(host, projectOf(app, live), doorsOf({ props }, live), props.healthTimeout);
  await bringRoutes(host, app, live, props);
  if (props.workers !== undefined) await startWorkers(host, app, { release, tag });
}

/** A migration is one, however many hosts there are: all but one wait until it has ended. */
async function prepareData(host: Host, app: string, id: string): Promise<void> {
  if (!host.manner.commandElsewhere) return runCommand(host, app, releaseFolder(app, id));
  host.say('waiting for the release command, which another host runs');
  await toldTo('start', host.manner);
}

/** Whether a tag stands for another image than the one that the live release has. */
export async function hasMoved(host: Host, props: ReleaseProps, live: string): Promise<boolean> {
  const [identities, record] = await Promise.all([identitiesOf(host, props), readRecord(props.app, live)]);
  return Object.entries(props.images).some(([service, reference]) => {
    const now = identities.get(reference);
    return now !== undefined && record?.images[service]?.digest !== now;
  });
}

/** Brings a release live, or starts what is missing of it where it is live already. */
export async function bringLive(host: Host, props: ReleaseProps, { anew = false }: Asking = {}): Promise<void> {
  const { app, tag, canary: steps, watch } = props;
  await recover(host, app);
  const slots = await readSlots(app);
  const declared = declaredId(props);
  const old = slots.live === undefined ? undefined : slots[slots.live];
  const live = old === undefined ? undefined : await readRecord(app, old.release);
  const isLive = old !== undefined && (live?.declared ?? old.release) === declared && arePinned(imagesIn(live), props);
  if (isLive && !(anew && (await hasMoved(host, props, old.release)))) {
    return revive(host, props, old.release, slots);
  }
  await refusePaused(app);

  const identities = await identitiesOf(host, props);
  const id = releaseIdOf(declared, identities);
  const passage = new Passage(host, app, slots, { release: id, tag });
  const { slot } = passage.run;
  const { pause } = host.manner;
  await goLive(
    passage,
    async () => {
      await passage.reach('preflight');
      const domains = [...new Set(props.routes.map(({ domain }) => domain))];
      const odd = lookUp(domains, [...props.hosts, ...host.facts.addresses]);
      // What cannot run twice needs no room for two.
      const live = slots.live === undefined || props.swap ? undefined : projectOf(app, slots.live);
      await preflight(host, live, projectOf(app, slot));
      const images = await pinImages(host, app, props, identities);
      for (const message of await odd) host.warn(message);
      const previous = old === undefined ? {} : { previous: old.release };
      const record = await stage(props, { id, declared, by: host.by, images, ...previous });
      await passage.reach('pulled');
      await empty(host, app, slot);
      await host.markData(app, { release: id, tag, ...(old === undefined ? {} : { before: old.release }) });
      if (props.command !== undefined) await prepareData(host, app, id);
      await passage.reach('commanded');
      return record;
    },
    { canary: { steps, watch, pause } },
  );
}

/** Takes an app's containers, slots, images and releases off the host. */
export async function retire(host: Host, app: string): Promise<void> {
  const slots = await readSlots(app);
  await clearTimer(host, app);
  await forgetSwaps(host, app);
  await stopOverseer(host, app);
  for (const part of [...PARTS, 'command'] as const) {
    const release = part === 'command' ? undefined : slots[part]?.release;
    const directory = `${releaseFolder(app, release ?? 'none')}/${part}`;
    if (release === undefined && (await containersOf(host, projectOf(app, part))).length === 0) continue;
    await host.compose({ name: projectOf(app, part), directory }, 'down');
  }
  for (const part of PARTS) {
    const left = await containersOf(host, projectOf(app, part));
    if (left.length > 0) {
      throw new DeployError('command-failed', `Containers of ${app} are still there: ${left.map(nameOf).join(', ')}.`, {
        hint: 'Remove them with `docker rm --force` on the host, then run the same command again.',
      });
    }
  }
  const images = (await storedReleases(app)).flatMap(({ record }) => Object.values(record.images));
  await dropImages(host, app, [], images);
  await forgetRoutes(host, app);
  await forgetReleases(app);
}
