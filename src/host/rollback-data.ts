import type { Backups } from '#backup/engine';
import { readRestorePoints } from '#backup/restore-points';
import { settingsOf } from '#backup/settings';
import { openStores } from '#backup/store/store';
import { DeployError } from '#core/errors';
import type { BackupRequest, RestorePoint } from '#protocol/backup';
import type { Facts } from '#protocol/facts';
import { refusePaused } from '#release/paused';
import type { ReleaseRecord } from '#release/record';
import { whereTo } from '#release/roll-back';
import { runJob, sourceNamed } from './backup.ts';
import { runOperation } from './operation.ts';
import { inPlace } from './restore.ts';

type Asked = Extract<BackupRequest, { verb: 'rollback-data' }>;

/** Where the database stood when a release was replaced: everything that it had written, and nothing of what came after. */
async function pointOf(app: string, { id, tag }: ReleaseRecord): Promise<RestorePoint> {
  const point = (await readRestorePoints(app)).findLast(({ before }) => before === id);
  if (point !== undefined) return point;
  throw new DeployError('restore-refused', `No restore point was taken when ${tag} was replaced.`, {
    hint: 'Restore a moment with `deploy restore --into in-place --to TIME`, and go back with `deploy rollback`.',
  });
}

/** How much would be lost: everything from the restore point until now. */
function lossOf({ at }: RestorePoint): number {
  return Math.max(0, (Date.now() - Date.parse(at)) / 1000);
}

async function backupsFor(host: Backups['host'], app: string): Promise<Backups> {
  const settings = await settingsOf(app);
  return { host, settings, stores: await openStores(host, settings) };
}

/** Serves `deploy rollback --with-database`: data and release go back together, or neither does. */
export async function rollBackData(request: Asked, facts: Facts, tell: (line: string) => void): Promise<number> {
  const { app, environment, by, to, preview } = request;
  const doing = { verb: 'rollback', app, environment, by, secrets: [], readsOnly: preview };
  const args = { 'with-database': true, ...(to === undefined ? {} : { to }) };
  return runOperation({ ...doing, args }, facts, tell, async (host, emit) => {
    await refusePaused(app);
    const release = await whereTo(app, to);
    const point = await pointOf(app, release);
    const { source: name, at } = point;
    if (preview) {
      const about = { base: point.name, bytes: 0, tag: release.tag };
      emit({ type: 'restore.previewed', app, source: name, reaches: at, loses: lossOf(point), ...about });
      return { changed: 0, unchanged: 1, removed: 0 };
    }
    // The restore point may be younger than what was shipped last.
    await runJob(host, app, 'watch', undefined);
    const backups = await backupsFor(host, app);
    const [store] = backups.stores;
    if (store === undefined) throw new DeployError('no-backups', `${app} has no repository.`, { hint: 'Declare one.' });
    await inPlace(backups, sourceNamed(backups.settings.sources, name), store, point.name, emit, release.id);
    return { changed: 1, unchanged: 0, removed: 0 };
  });
}
