import { mkdir, open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type BackupRecord, backupRecordSchema } from '#protocol/backup';
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

/** Whether a later success of the same job makes a failure a thing of the past; one that names no repository is of all. */
export function mends(later: BackupRecord, failed: BackupRecord): boolean {
  return (
    later.result === 'done' &&
    (failed.source === undefined || later.source === failed.source) &&
    (failed.repository === undefined || later.repository === undefined || later.repository === failed.repository)
  );
}
