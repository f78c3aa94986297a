import { DeployError } from '#core/errors';
import { type BackupSettings, backupSettingsSchema } from '#protocol/backup';
import { readJson } from '#release/durable';
import { settingsPath } from './places.ts';

/** The backups of an app on this host; undefined where none are declared. */
export async function readSettings(app: string): Promise<BackupSettings | undefined> {
  const stored = await readJson(settingsPath(app));
  return stored === undefined ? undefined : backupSettingsSchema.parse(stored);
}

/** The backups of an app on this host; `no-backups` where none are declared. */
export async function settingsOf(app: string): Promise<BackupSettings> {
  const settings = await readSettings(app);
  if (settings !== undefined) return settings;
  throw new DeployError('no-backups', `No backups of ${app} are declared on this host.`, {
    hint: 'With `backups` in the inventory, `deploy up <environment>` brings them there.',
  });
}
