import type { ListedRelease } from '#protocol/release';
import type { Host } from '#resources/resource';
import { containersOf, nameOf } from './containers.ts';
import { storedReleases } from './record.ts';
import { canaryOf, readRun } from './run.ts';
import { otherSlot, projectOf, readSlots } from './slots.ts';

/** The releases of an app on this host, the one that was live last first. */
export interface Listing {
  readonly live?: string;
  /** The release that a rollback reaches by one rename. */
  readonly warm?: string;
  readonly releases: readonly ListedRelease[];
}

/** The release whose containers still run in the slot that does not serve; undefined where none does. */
export async function readWarm(host: Host, app: string): Promise<string | undefined> {
  const slots = await readSlots(app);
  const slot = slots.live === undefined ? undefined : otherSlot(slots.live);
  const occupant = slot === undefined ? undefined : slots[slot];
  if (slot === undefined || occupant === undefined || occupant.containers.length === 0) return undefined;
  const run = await readRun(app);
  // What some of the clients get is nothing to go back to.
  if (run?.release === occupant.release && canaryOf(run) !== undefined) return undefined;
  const running = (await containersOf(host, projectOf(app, slot)))
    .filter(({ State }) => State === 'running')
    .map(nameOf);
  return occupant.containers.every((name) => running.includes(name)) ? occupant.release : undefined;
}

/** What is there to go back to. */
export async function listReleases(host: Host, app: string): Promise<Listing> {
  const [slots, stored, warm, run] = await Promise.all([
    readSlots(app),
    storedReleases(app),
    readWarm(host, app),
    readRun(app),
  ]);
  const tried = run === undefined ? undefined : canaryOf(run);
  const live = slots.live === undefined ? undefined : slots[slots.live]?.release;
  const releases = stored.map(({ record, outcome }): ListedRelease => {
    const { id, tag, createdAt, by, images, previous } = record;
    const canary = run?.release === id ? tried : undefined;
    const state =
      canary !== undefined
        ? 'canary'
        : id === live
          ? 'live'
          : id === warm
            ? 'warm'
            : outcome?.served === true
              ? 'kept'
              : 'failed';
    return {
      id,
      tag,
      createdAt,
      by,
      services: Object.fromEntries(Object.entries(images).map(([service, { digest }]) => [service, digest])),
      state,
      ...(canary === undefined ? {} : { canary }),
      ...(previous === undefined ? {} : { previous }),
    };
  });
  return { ...(live === undefined ? {} : { live }), ...(warm === undefined ? {} : { warm }), releases };
}
