import { setTimeout as sleep } from 'node:timers/promises';
import type { Backups } from '#backup/engine';
import { JOBS } from '#backup/jobs';
import { appendRecord } from '#backup/records';
import { settingsOf } from '#backup/settings';
import { openStores } from '#backup/store';
import { asDeployError, DeployError } from '#core/errors';
import { BACKUP_JOBS, type BackupJob, type BackupRecord, type Source } from '#protocol/backup';
import type { Host } from '#resources/resource';
import { readFacts } from './facts.ts';
import { takeNamedLock } from './lock.ts';
import { createHost } from './machine.ts';

/** Seconds over which the hosts of a fleet spread what cron starts in the same second everywhere. */
const SPREAD = 30;

/**
 * Runs one job: one at a time of its kind for each source, and recorded however it ends. Rejects where it could not be
 * tried; what failed in one of several repositories is in its record.
 */
export async function runJob(
  host: Host,
  app: string,
  job: BackupJob,
  name: string | undefined,
): Promise<readonly BackupRecord[]> {
  const at = new Date().toISOString();
  const started = performance.now();
  const base = () => ({
    at,
    job,
    duration: (performance.now() - started) / 1000,
    ...(name === undefined ? {} : { source: name }),
  });
  const keep = async (record: BackupRecord): Promise<BackupRecord> => {
    await appendRecord(app, record);
    return record;
  };
  const settings = await settingsOf(app);
  const source = name === undefined ? undefined : sourceNamed(settings.sources, name);
  await using _turn = await takeNamedLock(`backup-${app}-${name ?? 'all'}-${job}`);
  try {
    const backups: Backups = { host, settings, stores: await openStores(host, settings) };
    const done = await JOBS[job](backups, source);
    // Each minute nothing happens; only what did is worth a line.
    if (done.length === 0 && job === 'watch') return [];
    if (done.length === 0) return [await keep({ ...base(), result: 'done' })];
    const records: BackupRecord[] = [];
    for (const { why, details, ...rest } of done) {
      records.push(
        await keep({
          ...base(),
          ...rest,
          result: why === undefined ? 'done' : 'failed',
          ...(why === undefined ? {} : { why }),
          ...(details === undefined ? {} : { details: { ...details } }),
        }),
      );
    }
    return records;
  } catch (thrown) {
    const error = asDeployError(thrown);
    await keep({ ...base(), result: 'error', why: error.message });
    throw error;
  }
}

function sourceNamed(sources: readonly Source[], name: string): Source {
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
  });
  if (job !== 'watch' && !args.includes('--now')) await sleep(Math.random() * SPREAD * 1000);
  const records = await runJob(host, app, job, name);
  for (const record of records) {
    const what = [record.job, record.source, record.repository].filter((word) => word !== undefined).join(' ');
    console.log(`${what}: ${record.result}${record.why === undefined ? '' : `: ${record.why}`}`);
  }
  return records.every(({ result }) => result === 'done') ? 0 : 1;
}
