import { readdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { ReleaseState } from '#protocol/release';
import type { Host } from '#resources/resource';
import { finish, takeBack, undo } from './finish.ts';
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

/** Brings the releases of all apps on this host to their end, and stops slots that were kept warm long enough. */
export async function recoverReleases(host: Host): Promise<readonly Recovered[]> {
  const apps = await readdir(dirname(releasesOf('any'))).catch(() => []);
  const recovered: Recovered[] = [];
  for (const app of apps) {
    const one = await recover(host, app);
    if (one !== undefined) recovered.push(one);
    await coolWhereDue(host, app);
  }
  return recovered;
}
