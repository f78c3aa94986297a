import { DeployError } from '#core/errors';
import { isPaused, type PausedRun, type Run, readRun, writeRun } from './run.ts';

/** The canary of an app that waits for somebody to say how it goes on; undefined where none does. */
export async function readPaused(app: string): Promise<PausedRun | undefined> {
  const run = await readRun(app);
  return run !== undefined && isPaused(run) ? run : undefined;
}

/** Why no other release can go live beside a paused canary. */
export function refusal({ tag, canary }: Pick<PausedRun, 'tag' | 'canary'>): DeployError {
  return new DeployError(
    'canary-open',
    `${tag} is a canary for ${canary.percent} % of the clients since ${canary.since}, and waits for a word.`,
    {
      hint: 'Give it to more of them with `deploy canary promote <environment>`, or to none with `deploy canary abort <environment>`; then run the same command again.',
    },
  );
}

/** Rejects with `canary-open` where a canary is paused: there are two slots, and both are taken. */
export async function refusePaused(app: string): Promise<void> {
  const paused = await readPaused(app);
  if (paused !== undefined) throw refusal(paused);
}

/** The paused canary that somebody means; rejects with `canary-unknown`, and with what became of the last, where there is none. */
export async function requirePaused(app: string): Promise<PausedRun> {
  const run = await readRun(app);
  if (run !== undefined && isPaused(run)) return run;
  const ended =
    run?.canary === undefined
      ? ''
      : ` ${run.tag} was the last: it ${run.state === 'taken-back' ? `was taken back${run.why === undefined ? '' : `: ${run.why}`}` : 'serves all clients'}.`;
  throw new DeployError('canary-unknown', `No canary of ${app} waits for a word.${ended}`, {
    hint: 'See what serves with `deploy status <environment>`.',
  });
}

/** Remembers that a paused canary is at work again: whatever ends the run from now on, it is taken back. */
export async function resume(app: string, { canary, ...run }: PausedRun): Promise<Run> {
  const resumed: Run = { ...run, canary: { ...canary, isPaused: false } };
  await writeRun(app, resumed);
  return resumed;
}
