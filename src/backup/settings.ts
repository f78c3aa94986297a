import { readdir } from 'node:fs/promises';
import { DeployError } from '#core/errors';
import { type BackupSettings, backupSettingsSchema, type Source, type SourceOf } from '#protocol/backup';
import { readJson } from '#release/durable';
import { SETTINGS, settingsPath } from './places.ts';

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
    hint: 'Add `backups` to the inventory, then `deploy up <environment>`.',
  });
}

/** The apps whose backups this host makes. */
export async function backedUpApps(): Promise<readonly string[]> {
  const names = await readdir(SETTINGS).catch(() => []);
  return names.filter((name) => name.endsWith('.json')).map((name) => name.slice(0, -'.json'.length));
}

/** A source of a type by its name; `no-backups` names those there are. */
export function sourceOf<Type extends Source['type']>(
  settings: BackupSettings,
  type: Type,
  name: string,
): SourceOf<Type> {
  const found = settings.sources.find((source) => source.type === type && source.name === name);
  if (found !== undefined) return found as SourceOf<Type>;
  const names = settings.sources.map((source) => source.name).join(', ');
  throw new DeployError('no-backups', `No ${type} called ${name} is backed up.`, { hint: `There are: ${names}.` });
}
