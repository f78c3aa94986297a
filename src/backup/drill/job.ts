import type { Backups, Done } from '#backup/engine';
import type { DrillReport, Source } from '#protocol/backup';
import { drill } from './drill.ts';
import { readReports } from './reports.ts';
import { nextTarget } from './target.ts';

/** A report as a job's record has it. */
export function doneOf({ source, repository, id, verdict, why, bytes, target, rpo, rto }: DrillReport): Done {
  return {
    ...{ source, repository, made: id, details: { verdict, target, rpo, rto } },
    ...(bytes === undefined ? {} : { bytes }),
    ...(why === undefined ? {} : { why: verdict === 'error' ? `It could not be carried out: ${why}` : why }),
  };
}

/** What cron's drill does: each source from the repository that is off the host, to what it is its turn to restore. */
export async function drillJob(backups: Backups, sources: readonly Source[]): Promise<readonly Done[]> {
  const { app, repositories } = backups.settings;
  const from = repositories.some(({ name }) => name === 'offsite') ? 'offsite' : 'local';
  const earlier = await readReports(app);
  const target = ({ name }: Source) => nextTarget(earlier.filter(({ source }) => source === name));
  return (await drill(backups, { sources, target, from })).map(doneOf);
}
