import type { ReleaseState } from '#protocol/release';
import type { Host } from '#resources/resource';
import { removeAll, stopAll } from './containers.ts';
import { setWarm } from './flags.ts';
import { type ReleaseRecord, readRecord } from './record.ts';
import { type Run, writeRun } from './run.ts';
import { type Occupant, otherSlot, projectOf, readSlots, type Slot, type Slots, writeOccupants } from './slots.ts';
import { clearTimer } from './warm.ts';

/** Seconds that a slot which serves nobody any more gets after SIGTERM, where its containers do not say otherwise. */
const GRACE = 2;

/** Remembers that a release has come to a state, and tells it. */
export async function reach(host: Host, app: string, run: Run, state: ReleaseState, why?: string): Promise<Run> {
  const next: Run = { ...run, state, ...(why === undefined ? {} : { why }) };
  await writeRun(app, next);
  const { release, tag, slot } = next;
  host.tell({ type: 'release.state', app, release, tag, slot, state });
  return next;
}

/** A release on its way into the slot that does not serve. */
export class Passage {
  readonly host: Host;
  readonly app: string;
  run: Run;

  constructor(host: Host, app: string, slots: Slots, what: Pick<Run, 'release' | 'tag' | 'wasWarm'>) {
    const { live } = slots;
    const old = live === undefined ? undefined : slots[live];
    this.host = host;
    this.app = app;
    this.run = {
      ...what,
      slot: live === undefined ? 'blue' : otherSlot(live),
      state: 'preflight',
      by: host.by,
      startedAt: new Date().toISOString(),
      ...(host.manner.departs ? { departs: true } : {}),
      ...(old === undefined || live === undefined
        ? {}
        : { previous: { release: old.release, tag: old.tag, slot: live } }),
    };
  }

  /** The passage of a release that has paused on its way. */
  static of(host: Host, app: string, slots: Slots, run: Run): Passage {
    const passage = new Passage(host, app, slots, run);
    passage.run = run;
    return passage;
  }

  async reach(state: ReleaseState): Promise<void> {
    this.run = await reach(this.host, this.app, this.run, state);
  }

  /** Remembers that from now on the old release may have been stopped for the sake of the new one. */
  async swap(): Promise<void> {
    this.run = { ...this.run, swaps: true };
    await writeRun(this.app, this.run);
  }
}

/** Forgets or notes what runs in one part of an app. */
export async function occupy(app: string, part: Slot | 'workers', occupant: Occupant | undefined): Promise<void> {
  const occupants = await readSlots(app);
  await writeOccupants(app, { ...occupants, [part]: occupant });
}

/** Empties the slot that a release goes into of what is kept warm there, or was kept for a look. */
export async function empty(host: Host, app: string, slot: Slot): Promise<void> {
  const occupant = (await readSlots(app))[slot];
  await setWarm(app, false);
  if (occupant !== undefined) await occupy(app, slot, undefined);
  const project = projectOf(app, slot);
  await Promise.all([
    occupant?.warmUntil === undefined ? undefined : clearTimer(host, app),
    stopAll(host, project, GRACE).then(() => removeAll(host, project)),
    removeAll(host, projectOf(app, 'command')),
  ]);
}

/** The addresses of a release's replicas in a slot, by its own record or, where it has none, by that of another. */
export async function addressesIn(
  app: string,
  slot: Slot,
  release: string,
  other: ReleaseRecord | undefined,
): Promise<readonly string[]> {
  const record = (await readRecord(app, release)) ?? other;
  return (record?.props.gates ?? []).flatMap(({ addresses }) => addresses[slot]);
}
