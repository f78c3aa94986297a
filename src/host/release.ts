import type { EventBody } from '#protocol/event';
import type { Facts } from '#protocol/facts';
import type { ReleaseRequest, Request } from '#protocol/plan';
import { type Ear, openEar } from '#release/ear';
import { listReleases } from '#release/list';
import { ALONE } from '#release/manner';
import { refusePaused } from '#release/paused';
import { bringLive, hasMoved } from '#release/release';
import { rollBack } from '#release/roll-back';
import { releaseKind } from '#resources/release';
import { canary } from './canary.ts';
import { entriesOf, findBreak, readLedger } from './ledger.ts';
import { createHost } from './machine.ts';
import { runOperation } from './operation.ts';

type Tell = (line: string) => void;
type Asked<Verb extends ReleaseRequest['verb']> = Extract<ReleaseRequest, { verb: Verb }>;

const VERBS: readonly string[] = [
  'release',
  'rollback',
  'canary',
  'releases',
  'history',
] satisfies ReleaseRequest['verb'][];

/** Whether a request is about an app's releases. */
export function isReleaseRequest(request: Request): request is ReleaseRequest {
  return VERBS.includes(request.verb);
}

/** Listens to what the laptop says of a release that holds. */
export const releaseEar = openEar;

/** Brings what was asked for live, unless it is. */
async function release(request: Asked<'release'>, facts: Facts, ear: Ear, tell: Tell): Promise<number> {
  const { verb, app, environment, by, secrets, hold, commandElsewhere = false } = request;
  const { pause = false, departs = false } = request;
  const manner = { hold, commandElsewhere, pause, departs, ear };
  const props = releaseKind.props.parse(request.release);
  const args = { tag: props.tag };
  return runOperation({ verb, app, environment, by, secrets, args, manner }, facts, tell, async (machine) => {
    // Also where it is what serves, or the canary itself: neither is what whoever releases has in mind.
    await refusePaused(app);
    const state = await releaseKind.read(machine, props);
    const isLive = state !== undefined && releaseKind.diff(state, props).length === 0;
    if (isLive && !(await hasMoved(machine, props, state.release))) return { changed: 0, unchanged: 1, removed: 0 };
    await bringLive(machine, props, { anew: true });
    return { changed: 1, unchanged: 0, removed: 0 };
  });
}

async function rollback(request: Asked<'rollback'>, facts: Facts, ear: Ear, tell: Tell): Promise<number> {
  const { verb, app, environment, by, to, hold = false } = request;
  const args = to === undefined ? {} : { to };
  const manner = { ...ALONE, hold, departs: true, ear };
  return runOperation({ verb, app, environment, by, secrets: [], args, manner }, facts, tell, async (machine) => {
    await rollBack(machine, app, to);
    return { changed: 1, unchanged: 0, removed: 0 };
  });
}

/** Looks something up; changes nothing, and so takes no lock and keeps no log. */
async function look(
  facts: Facts,
  tell: Tell,
  find: (host: ReturnType<typeof createHost>) => Promise<EventBody>,
): Promise<number> {
  const started = performance.now();
  const say = (body: EventBody) => tell(`${JSON.stringify({ at: new Date().toISOString(), ...body })}\n`);
  const host = createHost(facts, { say: () => undefined, warn: (message) => say({ type: 'warning', message }) });
  say(await find(host));
  say({
    type: 'operation.finished',
    changed: 0,
    unchanged: 0,
    removed: 0,
    duration: (performance.now() - started) / 1000,
  });
  return 0;
}

async function history({ app, verify }: Asked<'history'>): Promise<EventBody> {
  const text = await readLedger(app);
  const broken = verify ? findBreak(text) : undefined;
  return { type: 'ledger.read', app, entries: [...entriesOf(text)], ...(broken === undefined ? {} : { broken }) };
}

/** Serves a request about an app's releases; resolves with the exit code. */
export async function answerRelease(request: ReleaseRequest, facts: Facts, ear: Ear, tell: Tell): Promise<number> {
  switch (request.verb) {
    case 'release':
      return release(request, facts, ear, tell);
    case 'rollback':
      return rollback(request, facts, ear, tell);
    case 'canary':
      return canary(request, facts, ear, tell);
    case 'releases': {
      const { app } = request;
      return look(facts, tell, async (host) => {
        const { releases, ...rest } = await listReleases(host, app);
        const { readRestorePoints } = await import('#backup/restore-points');
        const points = await readRestorePoints(app);
        const marked = releases.map((one) => {
          const at = points.findLast(({ release }) => release === one.id)?.at;
          return at === undefined ? one : { ...one, marked: at };
        });
        return { type: 'releases.listed', app, ...rest, releases: marked };
      });
    }
    case 'history':
      return look(facts, tell, () => history(request));
  }
}
