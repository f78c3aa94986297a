import { readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Host } from '#resources/resource';
import { replaceText } from './durable.ts';
import type { Run } from './run.ts';
import { releasesOf } from './slots.ts';

const fileOf = (app: string): string => join(releasesOf(app), 'called-off');

/** Asks whoever is at work on an app's canary to take it back. */
export function callOff(app: string, by: string): Promise<void> {
  return replaceText(fileOf(app), by);
}

function calledOffBy(app: string): string | undefined {
  try {
    return readFileSync(fileOf(app), 'utf8');
  } catch {
    return undefined;
  }
}

/** Why a release that is being watched is to be taken back whatever is seen of it; undefined where nobody wants that. */
export function whyUnwanted({ manner }: Pick<Host, 'manner'>, { state, canary }: Run, app: string): string | undefined {
  const { hold, ear } = manner;
  if (ear.isAborted) return 'the laptop asked for it';
  // Before the flip no host goes on by itself: the others may have been called off.
  if (hold && state === 'canary' && ear.isGone) return 'the laptop that speaks for all hosts is gone';
  const by = canary === undefined ? undefined : calledOffBy(app);
  return by === undefined ? undefined : `${by} asked for it`;
}

/** Forgets what was asked of an earlier canary. */
export function forgetCallOff(app: string): Promise<void> {
  return rm(fileOf(app), { force: true });
}
