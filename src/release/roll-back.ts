import { DeployError } from '#core/errors';
import type { Host } from '#resources/resource';
import { doorsOf } from './door.ts';
import { gate } from './gate.ts';
import { goLive } from './go-live.ts';
import { recallImages } from './images.ts';
import { readWarm } from './list.ts';
import { empty, Passage } from './passage.ts';
import { refusePaused } from './paused.ts';
import { type ReleaseRecord, readOutcome, type Stored, storedReleases } from './record.ts';
import { recover } from './recovery.ts';
import { bringRoutes } from './routes.ts';
import { otherSlot, projectOf, readSlots, type Slots } from './slots.ts';
import { warmUp } from './warm.ts';

/** Seconds in which a slot that runs already has to answer: it did when it was left. */
const WARM = 3;

function unknown(message: string, app: string): DeployError {
  return new DeployError('release-unknown', message, {
    hint: `\`deploy releases\` lists the releases of ${app} that can be gone back to.`,
  });
}

/**
 * The release to go back to: by id or tag, or the one that served before. Of a tag, the one that served last, but not
 * the one that serves.
 */
export function chooseRelease(
  app: string,
  stored: readonly Stored[],
  live: string,
  previous: string | undefined,
  to?: string,
): ReleaseRecord {
  if (to === undefined) {
    const before = stored.find(({ record }) => record.id === previous);
    if (before !== undefined) return before.record;
    throw unknown(`${app} has no release to go back to: none served before this one, or it is no longer kept.`, app);
  }
  const isNamed = ({ id, tag }: ReleaseRecord): boolean => id === to || tag === to;
  const named = stored.filter(({ record, outcome }) => outcome?.served === true && isNamed(record));
  const chosen = named.find(({ record }) => record.id !== live);
  if (chosen !== undefined) return chosen.record;
  if (named.length > 0) throw unknown(`${to} serves ${app} already.`, app);
  if (stored.some(({ record }) => isNamed(record))) {
    throw unknown(`${to} never served ${app}: it was rejected, or its release was not brought to its end.`, app);
  }
  throw unknown(`${app} has no release ${to} on this host.`, app);
}

async function previousOf(app: string, slots: Slots, live: string): Promise<string | undefined> {
  const { after } = (await readOutcome(app, live)) ?? {};
  if (after !== undefined) return after;
  return slots.live === undefined ? undefined : slots[otherSlot(slots.live)]?.release;
}

/** The release that a rollback would go to; rejects with `release-unknown` where there is none. */
export async function whereTo(app: string, to: string | undefined): Promise<ReleaseRecord> {
  const slots = await readSlots(app);
  const old = slots.live === undefined ? undefined : slots[slots.live];
  if (old === undefined) throw unknown(`${app} was never released on this host.`, app);
  return chooseRelease(app, await storedReleases(app), old.release, await previousOf(app, slots, old.release), to);
}

/**
 * Goes back to a release that is kept on the host, as it was: with its images, its environment and its routes. One that
 * is still warm takes over at once; any other is started and gated first.
 */
export async function rollBack(host: Host, app: string, to: string | undefined): Promise<void> {
  await recover(host, app);
  await refusePaused(app);
  const record = await whereTo(app, to);
  const slots = await readSlots(app);
  const { id: release, tag } = record;
  const isAtOnce = (await readWarm(host, app)) === release;
  const passage = new Passage(host, app, slots, { release, tag, ...(isAtOnce ? { wasWarm: true } : {}) });
  const { slot } = passage.run;
  // Whoever goes back has judged already, and what they leave is no measure for what they go to.
  await goLive(
    passage,
    async () => {
      if (isAtOnce) {
        await gate(host, projectOf(app, slot), doorsOf(record, slot), WARM);
        await bringRoutes(host, app, slot, record.props);
        await warmUp(host, app, slot);
        return record;
      }
      await passage.reach('preflight');
      await recallImages(host, app, Object.values(record.images));
      await passage.reach('pulled');
      await empty(host, app, slot);
      await passage.reach('commanded');
      return record;
    },
    { watches: false },
  );
}
