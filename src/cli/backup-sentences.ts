import { drillCheckLines, drillVerdictLines } from '#cli/drill-text';
import type { Paint } from '#cli/paint';
import { formatBytes, formatSeconds } from '#core/units';
import type { BackupRecord } from '#protocol/backup';
import type { Event } from '#protocol/event';

/** What a job does, as a person says that it is done. */
const DONE: Readonly<Record<BackupRecord['job'], string>> = {
  watch: 'looked after',
  full: 'copied whole',
  incremental: 'what changed was copied',
  dump: 'dumped',
  copy: 'copied',
  prune: 'what is too old was forgotten',
  check: 'every stored object is as it was written',
  drill: 'restored on trial',
};

/** What an event of backups says to a person; nothing for those that only machines need. */
export function backupSentences(event: Event, paint: Paint): string[] {
  switch (event.type) {
    case 'backup.ran': {
      const { job, source, repository, result, bytes, added, duration, why = '' } = event.record;
      const about = `${(source ?? '').padEnd(12)} ${(repository ?? '').padEnd(8)}`;
      if (result !== 'done') {
        const [first = '', ...more] = why.split('\n');
        return [`    ${paint.red('✗')} ${about} ${paint.red(first)}`, ...more.map((line) => `      ${line}`)];
      }
      const size = bytes === undefined ? '' : `, ${formatBytes(bytes)}`;
      const fresh = added === undefined ? '' : ` (${formatBytes(added)} of it new)`;
      return [
        `    ${paint.green('✓')} ${about} ${DONE[job]}${size}${paint.dim(`${fresh}  ${formatSeconds(duration)}`)}`,
      ];
    }
    case 'drill.checked':
      return drillCheckLines(event.source, event.check, paint);
    case 'drill.ended':
      return drillVerdictLines(event.report, paint);
    default:
      return [];
  }
}
