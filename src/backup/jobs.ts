import { DeployError } from '#core/errors';
import type { BackupJob, Source } from '#protocol/backup';
import type { Backups, Done } from './engine.ts';
import { engineOf } from './engines.ts';

type Run = (backups: Backups, source: Source | undefined) => Promise<readonly Done[]>;

function named(source: Source | undefined): Source {
  if (source !== undefined) return source;
  throw new DeployError('usage', 'This job is for one source.', { hint: 'Name it after the app.' });
}

/** One after the other: each reads and writes as fast as the machine can. */
async function each(
  backups: Backups,
  source: Source | undefined,
  run: (one: Source) => Promise<readonly Done[]>,
): Promise<readonly Done[]> {
  const all: Done[] = [];
  for (const one of source === undefined ? backups.settings.sources : [source]) all.push(...(await run(one)));
  return all;
}

function copying(job: 'full' | 'incremental' | 'dump' | 'copy'): Run {
  return (backups, source) => engineOf(named(source)).copy(backups, named(source), job);
}

async function inEachStore(
  backups: Backups,
  source: Source | undefined,
  what: 'forget' | 'verify',
): Promise<readonly Done[]> {
  return each(backups, source, async (one) => {
    const all: Done[] = [];
    for (const store of backups.stores) all.push(...(await engineOf(one)[what](backups, one, store)));
    return all;
  });
}

/** What each job does. */
export const JOBS: Readonly<Record<BackupJob, Run>> = {
  watch: (backups, source) => each(backups, source, async (one) => (await engineOf(one).watch?.(backups, one)) ?? []),
  full: copying('full'),
  incremental: copying('incremental'),
  dump: copying('dump'),
  copy: copying('copy'),
  prune: (backups, source) => inEachStore(backups, source, 'forget'),
  check: (backups, source) => inEachStore(backups, source, 'verify'),
  drill: () => {
    throw new Error('not built yet');
  },
};
