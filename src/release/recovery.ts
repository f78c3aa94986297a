import { readdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { ReleaseState } from '#protocol/release';
import type { Host } from '#resources/resource';
import { faultOf } from './canary.ts';
import { finish, takeBack, undo } from './finish.ts';
import { readPaused, resume } from './paused.ts';
import { readRun, remedy } from './run.ts';
import { readSlots, releasesOf } from './slots.ts';
import { coolWhereDue } from './warm.ts';

/** A release that a killed run had left on its way, and what became of it. */
export interface Recovered {
  readonly app: string;
  readonly release: string;
  readonly tag: string;
  /** The state it was found in. */
  readonly state: ReleaseState;
  readonly by: string;
  readonly how: 'finished' | 'undone' | 'taken back';
  /** What it has turned bad with, where nobody had interrupted it. */
  readonly why?: string;
}

const INTERRUPTED = 'it was interrupted';

/** Brings an app's last release to its end, where a killed run has left it on its way. */
export async function recover(host: Host, app: string): Promise<Recovered | undefined> {
  const run = await readRun(app);
  if (run === undefined) return undefined;
  const { release, tag, state, by } = run;
  const what = remedy(run, (await readSlots(app)).flagged);
  if (what === 'nothing') return undefined;
  host.say(`${what === 'finish' ? 'finishing' : 'undoing'} the release of ${tag} that was interrupted (${state})`);
  if (what === 'finish') await finish(host, app, run);
  else if (what === 'undo') await undo(host, app, run, INTERRUPTED);
  else await takeBack(host, app, run, INTERRUPTED);
  return {
    app,
    release,
    tag,
    state,
    by,
    how: what === 'finish' ? 'finished' : what === 'undo' ? 'undone' : 'taken back',
  };
}

/** Takes a paused canary back that has turned bad while nobody watched. */
async function overlook(host: Host, app: string): Promise<Recovered | undefined> {
  const run = await readPaused(app);
  const why = run === undefined ? undefined : await faultOf(host, app, run);
  if (run === undefined || why === undefined) return undefined;
  const { release, tag, state } = run;
  host.warn(`The canary of ${tag} is taken back: ${why}.`);
  await takeBack(host, app, await resume(app, run), why);
  return { app, release, tag, state, by: host.by, how: 'taken back', why };
}

/**
 * Brings the releases of all apps on this host to their end, takes paused canaries back that have turned bad, and stops
 * slots that were kept warm long enough.
 */
export async function recoverReleases(host: Host): Promise<readonly Recovered[]> {
  const apps = await readdir(dirname(releasesOf('any'))).catch(() => []);
  const recovered: Recovered[] = [];
  for (const app of apps) {
    const one = (await recover(host, app)) ?? (await overlook(host, app));
    if (one !== undefined) recovered.push(one);
    await coolWhereDue(host, app);
  }
  return recovered;
}
