import type { Backups } from '#backup/engine';
import type { Alarm, PostgresSource } from '#protocol/backup';
import { alarmsOfCopies } from './copy-alarms.ts';
import { alarmsOfLog } from './log-alarms.ts';

/** What is short with a source at this moment: its write-ahead log, and the copies that it is replayed on. */
export async function alarms(backups: Backups, source: PostgresSource): Promise<readonly Alarm[]> {
  return [...(await alarmsOfLog(backups, source)), ...(await alarmsOfCopies(backups, source))];
}
