import { join } from 'node:path';
import type { ReleaseState } from '#protocol/release';
import { asText, readJson, replaceText } from './durable.ts';
import { releasesOf, type Slot } from './slots.ts';

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
  /** The slot had been kept warm: nothing was started, so nothing is to be stopped where it does not come to the flip. */
  readonly wasWarm?: boolean;
  /** The two cannot run side by side: requests are held while one is stopped and the other started. */
  readonly swaps?: boolean;
  /** It serves, or did, and the release before it is being brought back. */
  readonly goesBack?: boolean;
  /** Why it was not brought to its end. */
  readonly why?: string;
}

const OVER: ReadonlySet<ReleaseState> = new Set(['done', 'rejected', 'taken-back']);
const SERVED: ReadonlySet<ReleaseState> = new Set(['flipped', 'watched', 'drained']);

/** Whether a run has come to its end, whichever. */
export function isOver({ state }: Run): boolean {
  return OVER.has(state);
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
  return SERVED.has(run.state) ? 'take back' : 'undo';
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
