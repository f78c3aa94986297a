import { mkdir, open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type BackupRecord, backupRecordSchema } from '#protocol/backup';
import { replaceText } from '#release/durable';
import { stateFolder } from './places.ts';

function recordsPath(app: string): string {
  return join(stateFolder(app), 'records.ndjson');
}

/** Adds a line to an app's records, synced to disk. A line is written at once, so that writers need no turn. */
export async function appendRecord(app: string, record: BackupRecord): Promise<void> {
  await mkdir(stateFolder(app), { recursive: true, mode: 0o700 });
  const log = await open(recordsPath(app), 'a', 0o600);
  try {
    await log.appendFile(`${JSON.stringify(record)}\n`);
    await log.sync();
  } finally {
    await log.close();
  }
}

/** What an app's jobs have recorded, oldest first; what a power cut has left of a line is left out. */
export async function readRecords(app: string): Promise<readonly BackupRecord[]> {
  const text = await readFile(recordsPath(app), 'utf8').catch(() => '');
  return text.split('\n').flatMap((line) => {
    try {
      return backupRecordSchema.safeParse(JSON.parse(line)).data ?? [];
    } catch {
      return [];
    }
  });
}

/** Milliseconds that a record stays, and how many of a kind stay however old they are. */
const KEPT = { for: 100 * 86_400_000, atLeast: 10 };

/** The records that stay: of the last hundred days, and the newest of each job, source and repository. */
export function worthKeeping(records: readonly BackupRecord[], now: number): readonly BackupRecord[] {
  const after = new Map<string, number>();
  return records
    .toReversed()
    .filter(({ at, job, source, repository }) => {
      const key = JSON.stringify([job, source, repository]);
      const newer = after.get(key) ?? 0;
      after.set(key, newer + 1);
      return newer < KEPT.atLeast || now - Date.parse(at) < KEPT.for;
    })
    .reverse();
}

/** Forgets records that are no use any more. Nobody may write one meanwhile. */
export async function trimRecords(app: string): Promise<void> {
  const records = await readRecords(app);
  const kept = worthKeeping(records, Date.now());
  if (kept.length === records.length) return;
  await replaceText(recordsPath(app), kept.map((record) => `${JSON.stringify(record)}\n`).join(''));
}

/** Whether a later success of the same job makes a failure a thing of the past; one that names no repository is of all. */
export function mends(later: BackupRecord, failed: BackupRecord): boolean {
  return (
    later.result === 'done' &&
    (failed.source === undefined || later.source === failed.source) &&
    (failed.repository === undefined || later.repository === undefined || later.repository === failed.repository)
  );
}
