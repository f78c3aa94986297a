import { join } from 'node:path';
import type { ReleaseState, Canary as Shown } from '#protocol/release';
import { asText, readJson, replaceText } from './durable.ts';
import { releasesOf, type Slot } from './slots.ts';

/** How far a release has come among the clients before it gets all of them. */
export interface Canary {
  /** The share of all clients that it gets. */
  readonly percent: number;
  /** The shares after this one, before the flip. */
  readonly rest: readonly number[];
  /** ISO 8601: since when it gets this share. */
  readonly since: string;
  /** Seconds that each share is watched. */
  readonly watch: number;
  /** Whether the run ends after each share, until somebody says how it goes on. */
  readonly pause: boolean;
  /** Whether it has ended so. */
  readonly isPaused: boolean;
  /** Containers that Docker had started again before. */
  readonly restarts: number;
}

/** A release on its way, as the host remembers it. */
export interface Run {
  readonly release: string;
  readonly tag: string;
  readonly slot: Slot;
  readonly state: ReleaseState;
  readonly by: string;
  /** ISO 8601. */
  readonly startedAt: string;
  /** The release that served when it began, and where. */
  readonly previous?: { readonly release: string; readonly tag: string; readonly slot: Slot };
  /** It is not what the inventory names. */
  readonly departs?: boolean;
  /** The slot had been kept warm: nothing was started, so nothing is to be stopped where it does not come to the flip. */
  readonly wasWarm?: boolean;
  /** The two cannot run side by side: requests are held while one is stopped and the other started. */
  readonly swaps?: boolean;
  /** It serves, or did, and the release before it is being brought back. */
  readonly goesBack?: boolean;
  /** The last share of the clients that it got before it got all; undefined where it was tried on none. */
  readonly canary?: Canary;
  /** Why it was not brought to its end. */
  readonly why?: string;
}

const OVER: ReadonlySet<ReleaseState> = new Set(['done', 'rejected', 'taken-back']);
const SERVED: ReadonlySet<ReleaseState> = new Set(['flipped', 'watched', 'drained']);

/** Whether a run has come to its end, whichever. */
export function isOver({ state }: Run): boolean {
  return OVER.has(state);
}

/** A run that has ended for now, with some of the clients on its release, and waits for somebody to say how it goes on. */
export type PausedRun = Run & Required<Pick<Run, 'canary' | 'previous'>>;

/** Whether a run waits for somebody to say how it goes on. */
export function isPaused(run: Run): run is PausedRun {
  return run.state === 'canary' && run.canary?.isPaused === true && run.previous !== undefined;
}

/** How far a release has come among the clients, as it is shown; undefined where it is no canary. */
export function canaryOf({ state, canary }: Run): Shown | undefined {
  if (state !== 'canary' || canary === undefined) return undefined;
  const {
    percent,
    rest: [next],
    since,
    isPaused: paused,
  } = canary;
  return { percent, since, paused, ...(next === undefined ? {} : { next }) };
}

/**
 * What is to be done about a run that was killed, by its last state and where requests go: the flag is asked by every
 * request, so it is right where the two differ.
 */
export function remedy(run: Run, flagged: Slot): 'nothing' | 'undo' | 'finish' | 'take back' {
  if (isOver(run)) return 'nothing';
  // Before an app's very first release the flag says blue though nothing is there.
  if (run.previous === undefined) return SERVED.has(run.state) ? 'finish' : 'undo';
  if (run.goesBack === true) return 'take back';
  if (flagged === run.slot) return 'finish';
  if (isPaused(run)) return 'nothing';
  return run.state === 'canary' || SERVED.has(run.state) ? 'take back' : 'undo';
}

function runFile(app: string): string {
  return join(releasesOf(app), 'run.json');
}

/** The last release that was begun; undefined before the first. */
export async function readRun(app: string): Promise<Run | undefined> {
  return readJson<Run>(runFile(app));
}

/** Remembers how far a release has come, as one rename. */
export async function writeRun(app: string, run: Run): Promise<void> {
  await replaceText(runFile(app), asText(run));
}
