import { asDeployError, DeployError } from '#core/errors';
import type { BackupJob, Source } from '#protocol/backup';
import { drillJob } from './drill/job.ts';
import type { Backups, Done } from './engine.ts';
import { engineOf } from './engines.ts';
import { sweepScratch } from './scratch.ts';

type Run = (backups: Backups, source: Source | undefined) => Promise<readonly Done[]>;

function named(source: Source | undefined): Source {
  if (source !== undefined) return source;
  throw new DeployError('usage', 'This job is for one source.', { hint: 'Name it after the app.' });
}

/** One after the other: each reads and writes as fast as the machine can. What fails with one is not the others' fault. */
async function each(
  backups: Backups,
  source: Source | undefined,
  run: (one: Source) => Promise<readonly Done[]>,
): Promise<readonly Done[]> {
  const all: Done[] = [];
  for (const one of source === undefined ? backups.settings.sources : [source]) {
    const done = await run(one).catch((thrown): readonly Done[] => [{ why: asDeployError(thrown).message }]);
    // Where there is nothing to say it is well, and that is to be seen too.
    all.push(...(done.length === 0 ? [{}] : done).map((part) => ({ ...part, source: one.name })));
  }
  return all;
}

/** What looks after one source keeps nobody from looking after the others. */
async function sideBySide(
  { settings }: Backups,
  source: Source | undefined,
  run: (one: Source) => Promise<readonly Done[]>,
): Promise<readonly Done[]> {
  const all = (source === undefined ? settings.sources : [source]).map((one) =>
    run(one).catch((thrown): readonly Done[] => [{ why: `${one.name}: ${asDeployError(thrown).message}` }]),
  );
  return (await Promise.all(all)).flat();
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
    for (const store of backups.stores) {
      const { name: repository } = store;
      const done = await engineOf(one)
        [what](backups, one, store)
        .catch((thrown): readonly Done[] => [{ why: asDeployError(thrown).message }]);
      // Where there is nothing to say it is well, and that is to be seen too.
      all.push(...(done.length === 0 ? [{}] : done).map((part) => ({ repository, ...part })));
    }
    return all;
  });
}

/** What each job does. */
export const JOBS: Readonly<Record<BackupJob, Run>> = {
  watch: async (backups, source) => {
    // What is told of first is what production feels; a drill that was killed may have been a whole database.
    const done = await sideBySide(backups, source, async (one) => (await engineOf(one).watch?.(backups, one)) ?? []);
    await sweepScratch(backups.host, backups.settings.app);
    return done;
  },
  full: copying('full'),
  incremental: copying('incremental'),
  dump: copying('dump'),
  copy: copying('copy'),
  prune: (backups, source) => inEachStore(backups, source, 'forget'),
  check: (backups, source) => inEachStore(backups, source, 'verify'),
  drill: (backups, source) => drillJob(backups, source === undefined ? backups.settings.sources : [source]),
};
