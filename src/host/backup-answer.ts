import type { BackupRequest } from '#protocol/backup';
import type { Facts } from '#protocol/facts';

type Tell = (line: string) => void;

/** Serves a request about backups; resolves with the exit code. */
export async function answerBackup(request: BackupRequest, facts: Facts, tell: Tell): Promise<number> {
  switch (request.verb) {
    case 'backup':
    case 'backup-verify':
      return (await import('#host/backup-now')).runNow(request, facts, tell);
    case 'backup-list':
    case 'backup-status':
      return (await import('#host/backup-read')).readBackups(request, facts, tell);
    case 'restore':
      return (await import('#host/restore')).restore(request, facts, tell);
    case 'rollback-data':
      return (await import('#host/rollback-data')).rollBackData(request, facts, tell);
    case 'backup-key':
      return (await import('#host/backup-key')).answerKey(request, facts, tell);
    case 'drill':
      return (await import('#host/backup-drill')).runDrill(request, facts, tell);
    case 'drills':
      return (await import('#host/backup-drill')).listDrills(request, tell);
  }
}
