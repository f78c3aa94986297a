import { setTimeout as sleep } from 'node:timers/promises';
import type { Backups, Done } from '#backup/engine';
import { JOBS } from '#backup/jobs';
import { appendRecord, mends, readRecords, trimRecords } from '#backup/records';
import { settingsOf } from '#backup/settings';
import { openStores } from '#backup/store/store';
import { asDeployError, DeployError } from '#core/errors';
import { BACKUP_JOBS, type BackupJob, type BackupRecord, cronNameOf, type Source } from '#protocol/backup';
import type { Host } from '#resources/resource';
import { tellHealth } from './backup-tell.ts';
import { readFacts } from './facts.ts';
import { takeNamedLock, takeTurn } from './lock.ts';
import { createHost } from './machine.ts';

/** Seconds over which the hosts of a fleet spread what cron starts in the same second everywhere. */
const SPREAD = 30;

function jobText(job: BackupJob, source: string | undefined, app: string): string {
  return source === undefined ? `The job ${job} of ${app}` : `The job ${job} of ${app}'s ${source}`;
}

/**
 * The runs that are worth a line. `watch` begins every minute: what repeats is left out, and of what has gone well again
 * nothing would be told without a word of its own.
 */
async function noteworthy(app: string, records: readonly BackupRecord[]): Promise<readonly BackupRecord[]> {
  const before = (await readRecords(app)).filter(({ job }) => job === 'watch');
  return records.filter((record) => {
    if (record.details !== undefined) return true;
    const about = ({ source, repository }: BackupRecord) =>
      source === record.source && repository === record.repository;
    if (record.result !== 'done') return before.findLast(about)?.result !== record.result;
    return before.some(
      (failed, index) =>
        failed.result !== 'done' &&
        mends(record, failed) &&
        !before.slice(index + 1).some((later) => mends(later, failed)),
    );
  });
}

/**
 * Runs one job: one at a time of its kind for each source, and recorded however it ends. Rejects where it could not be
 * tried; what failed in one of several repositories is in its record. `act` is what it does, where somebody wants it
 * otherwise than cron.
 */
export async function runJob(
  host: Host,
  app: string,
  job: BackupJob,
  name: string | undefined,
  act: (typeof JOBS)[BackupJob] = JOBS[job],
): Promise<readonly BackupRecord[]> {
  const at = new Date().toISOString();
  const started = performance.now();
  const base = () => ({
    at,
    job,
    duration: (performance.now() - started) / 1000,
    ...(name === undefined ? {} : { source: name }),
  });
  const settings = await settingsOf(app);
  const source = name === undefined ? undefined : sourceNamed(settings.sources, name);
  const lock = cronNameOf(app, { job, ...(name === undefined ? {} : { source: name }) });
  await using _turn = await takeNamedLock(lock, jobText(job, name, app));
  const keep = async (records: readonly BackupRecord[]): Promise<readonly BackupRecord[]> => {
    const kept = job === 'watch' ? await noteworthy(app, records) : records;
    await using _records = await takeTurn(`slipway-backup-${app}-records.lock`);
    for (const record of kept) await appendRecord(app, record);
    if (job === 'prune') await trimRecords(app);
    return kept;
  };
  try {
    const backups: Backups = { host, settings, stores: await openStores(host, settings) };
    const done = await act(backups, source);
    const parts: readonly Done[] = done.length === 0 ? [{}] : done;
    return await keep(
      parts.map(({ why, details, ...rest }) => ({
        ...base(),
        ...rest,
        result: why === undefined ? ('done' as const) : ('failed' as const),
        ...(why === undefined ? {} : { why }),
        ...(details === undefined ? {} : { details: { ...details } }),
      })),
    );
  } catch (thrown) {
    const error = asDeployError(thrown);
    await keep([{ ...base(), result: 'error', why: error.message }]);
    throw error;
  }
}

/** A source by its name; `no-backups` names those there are. */
export function sourceNamed(sources: readonly Source[], name: string): Source {
  const found = sources.find((source) => source.name === name);
  if (found !== undefined) return found;
  throw new DeployError('no-backups', `Nothing called ${name} is backed up.`, {
    hint: `There are: ${sources.map((source) => source.name).join(', ')}.`,
  });
}

function isJob(word: string | undefined): word is BackupJob {
  return (BACKUP_JOBS as readonly (string | undefined)[]).includes(word);
}

/** What cron starts: `backup JOB APP [SOURCE]`. Tells the journal; resolves with the exit code. */
export async function backup(args: readonly string[]): Promise<number> {
  const [job, app, name] = args.filter((word) => !word.startsWith('--'));
  if (!isJob(job) || app === undefined) {
    throw new DeployError('usage', `backup ${args.join(' ')} is no job.`, {
      hint: `Write backup JOB APP [SOURCE]; jobs are ${BACKUP_JOBS.join(', ')}.`,
    });
  }
  const host = createHost(await readFacts(), {
    say: (message) => console.log(message),
    warn: (message, hint) => console.error(hint === undefined ? message : `${message}\n${hint}`),
    tell: (event) => {
      if (event.type !== 'drill.checked') return;
      const { name: what, result, found } = event.check;
      console.log(`${event.source}: ${what}: ${result}: ${found}`);
    },
  });
  if (job !== 'watch' && !args.includes('--now')) await sleep(Math.random() * SPREAD * 1000);
  try {
    const records = await runJob(host, app, job, name);
    for (const record of records) {
      const what = [record.job, record.source, record.repository].filter((word) => word !== undefined).join(' ');
      console.log(`${what}: ${record.result}${record.why === undefined ? '' : `: ${record.why}`}`);
    }
    return records.every(({ result }) => result === 'done') ? 0 : 1;
  } finally {
    // However it ended: that it failed is what has to be told.
    if (job === 'watch') await tellHealth(host, app);
  }
}
