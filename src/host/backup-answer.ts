import type { BackupRequest } from '#protocol/backup';
import type { Facts } from '#protocol/facts';

/** Serves a request about backups; resolves with the exit code. */
export async function answerBackup(
  _request: BackupRequest,
  _facts: Facts,
  _tell: (line: string) => void,
): Promise<number> {
  throw new Error('not built yet');
}
