import { asDeployError, DeployError } from '#core/errors';
import type { Host } from '#resources/resource';
import { AccessLog, figuresOf, type Request } from './access-log.ts';
import { forgetCallOff, whyUnwanted } from './call-off.ts';
import { takeBack } from './finish.ts';
import { setCanary, setWarm } from './flags.ts';
import { startOverseer } from './overseer.ts';
import type { Passage } from './passage.ts';
import { canaryOf, type PausedRun, type Run, writeRun } from './run.ts';
import { projectOf } from './slots.ts';
import { judge, meanwhile, restartsIn, type Watched, watch } from './watch.ts';

/** On which shares of the clients a release is tried, and how. */
export interface Ladder {
  /** In percent, ascending. */
  readonly steps: readonly number[];
  /** Seconds that each share is watched. */
  readonly watch: number;
  /** Whether the run ends after each, until somebody says how it goes on. */
  readonly pause: boolean;
}

/** All clients at once. */
export const NO_CANARY: Ladder = { steps: [], watch: 0, pause: false };

/** Seconds of requests that a paused canary is judged by. */
const WINDOW = 60;

function takenBack({ tag, canary, previous }: Run, seconds: number, bad: string): DeployError {
  return new DeployError(
    'release-taken-back',
    `${tag} was taken back ${Math.round(seconds)} s after ${canary?.percent} % of the clients had come to it, and ${previous?.tag} serves all of them again: ${bad}.`,
    { hint: 'Its containers are kept: `docker logs` on the host shows more.' },
  );
}

type Step = Pick<Watched, 'bad' | 'seen' | 'seconds'>;

/** Sends requests of a share of the clients to a release, and watches what becomes of them. */
async function climbTo(
  passage: Passage,
  percent: number,
  { steps, watch: seconds, pause }: Ladder,
  log: AccessLog,
): Promise<Step> {
  const { host, app } = passage;
  const { release, tag, slot, previous } = passage.run;
  const unseen: Step = { bad: undefined, seen: [], seconds: 0 };
  if (previous === undefined) return unseen;
  const project = projectOf(app, slot);
  const rest = steps.filter((step) => step > percent);
  const { count: restarts } = await restartsIn(host, project);
  const since = new Date().toISOString();
  passage.run = { ...passage.run, canary: { percent, rest, since, watch: seconds, pause, isPaused: false, restarts } };
  await passage.reach('canary');
  await startOverseer(host, app);
  await setWarm(app, true);
  // What was logged until now is of a smaller share, or of none.
  await log.read();
  await setCanary(app, previous.slot, percent);
  host.tell({ type: 'release.canary', app, release, tag, slot, percent, from: previous.tag });
  if (seconds === 0) return unseen;
  const unwanted = () => whyUnwanted(host, passage.run, app);
  const measure = await meanwhile(host, projectOf(app, previous.slot), previous.slot);
  const { bad, seen, ...figures } = await watch(host, project, slot, { seconds, log, measure, unwanted });
  host.tell({ type: 'release.watched', app, release, tag, percent, ...figures });
  if (bad === undefined && figures.now.requests === 0) {
    host.warn(
      `No request came to ${tag} in ${Math.round(seconds)} s, so nothing was seen of it${pause ? '' : '; it goes on all the same'}.`,
    );
  }
  return { bad, seen, seconds: figures.seconds };
}

async function undoStep({ host, app, run }: Passage, why: string): Promise<void> {
  await takeBack(host, app, run, why).catch((reason: unknown) => {
    // What is left is undone by the next operation, or by the host itself.
    host.warn(`It could not be taken back yet: ${asDeployError(reason).message}`);
  });
}

/**
 * Tries a release that answers well on a growing share of the clients. Where it is worse than the old one beside it, it
 * is taken back. Resolves with what the old slot did in the last step; undefined where the canary is paused now.
 */
export async function climb(passage: Passage, ladder: Ladder, log: AccessLog): Promise<readonly Request[] | undefined> {
  await forgetCallOff(passage.app);
  let seen: readonly Request[] = [];
  for (const percent of ladder.steps) {
    let bad: string | undefined;
    let seconds: number;
    try {
      ({ bad, seen, seconds } = await climbTo(passage, percent, ladder, log));
    } catch (thrown) {
      const error = asDeployError(thrown);
      await undoStep(passage, error.message.split('\n', 1)[0] ?? '');
      throw error;
    }
    if (bad !== undefined) {
      await undoStep(passage, bad);
      throw takenBack(passage.run, seconds, bad);
    }
    if (!ladder.pause) continue;
    await pause(passage);
    return undefined;
  }
  return seen.filter(({ slot }) => slot === passage.run.previous?.slot);
}

async function pause(passage: Passage): Promise<void> {
  const { host, app, run } = passage;
  if (run.canary === undefined) return;
  const paused: Run = { ...run, canary: { ...run.canary, isPaused: true } };
  await writeRun(app, paused);
  passage.run = paused;
  const { release, tag } = run;
  const canary = canaryOf(paused);
  if (canary !== undefined) host.tell({ type: 'release.paused', app, release, tag, canary });
}

/** What both slots did lately while a canary is paused. */
export async function lately(app: string, { canary }: PausedRun, seconds = WINDOW): Promise<readonly Request[]> {
  const log = await AccessLog.open(`/var/log/nginx/${app}.json`);
  const from = Math.max(Date.parse(canary.since), Date.now() - seconds * 1000);
  return (await log.read()).filter(({ at }) => at >= from);
}

/** Why a paused canary must not stay; undefined where nothing speaks against it. */
export async function faultOf(host: Host, app: string, run: PausedRun): Promise<string | undefined> {
  const { slot, previous, canary } = run;
  const project = projectOf(app, slot);
  const { count, ended } = await restartsIn(host, project);
  const crashed = ended ?? (count > canary.restarts ? `a container of ${project}` : undefined);
  if (crashed !== undefined) return `${crashed} crashed`;
  const requests = await lately(app, run);
  return judge(figuresOf(requests, slot, 0), figuresOf(requests, previous.slot, 0), true, 'in the old slot');
}
