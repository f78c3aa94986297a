import { appendFile, mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { asDeployError } from '#core/errors';
import { stampOf } from '#core/stamp';
import { type PostgresSource, type RestorePoint, restorePointSchema } from '#protocol/backup';
import type { Host } from '#resources/resource';
import { stateFolder } from './places.ts';
import { literal, query } from './postgres/server.ts';
import { readSettings } from './settings.ts';

/** A release that is about to begin. */
export type Beginning = Pick<RestorePoint, 'release' | 'tag' | 'before'>;

/** Seconds that a release waits for a database to take a restore point. */
const PATIENCE = 10;

function path(app: string): string {
  return join(stateFolder(app), 'restore-points.ndjson');
}

/** The restore points that releases of an app have taken on this host, oldest first. */
export async function readRestorePoints(app: string): Promise<readonly RestorePoint[]> {
  const text = await readFile(path(app), 'utf8').catch(() => '');
  return text.split('\n').flatMap((line) => {
    try {
      return restorePointSchema.safeParse(JSON.parse(line)).data ?? [];
    } catch {
      return [];
    }
  });
}

/** A release may come again, so that the moment is in the name. */
function nameOf({ release }: Beginning, at: Date): string {
  return `release ${release} ${stampOf(at)}`;
}

async function take(host: Host, app: string, source: PostgresSource, beginning: Beginning): Promise<void> {
  const name = nameOf(beginning, new Date());
  const [[lsn = '', time = ''] = []] = await query(
    host,
    source,
    `SELECT pg_create_restore_point(${literal(name)}), extract(epoch FROM clock_timestamp());`,
    { timeout: PATIENCE },
  );
  const at = new Date(Number(time) * 1000).toISOString();
  const point: RestorePoint = { name, source: source.name, ...beginning, at, lsn };
  await mkdir(stateFolder(app), { recursive: true, mode: 0o700 });
  await appendFile(path(app), `${JSON.stringify(point)}\n`, { mode: 0o600, flush: true });
}

/**
 * Gives the place where each database of an app stands a name, before a release changes anything. What cannot be marked
 * stops no release: it is told, and only a rollback of the data to this very moment is not to be had.
 */
export async function takeRestorePoints(host: Host, app: string, beginning: Beginning): Promise<void> {
  const sources = (await readSettings(app))?.sources ?? [];
  for (const source of sources) {
    if (source.type !== 'postgres') continue;
    try {
      await take(host, app, source, beginning);
    } catch (thrown) {
      host.warn(
        `No restore point was taken in ${source.name}: ${asDeployError(thrown).message.split('\n', 1)[0]}`,
        '`deploy rollback --with-database` cannot undo this release; `deploy restore --to TIME` can still bring its data back.',
      );
    }
  }
}
