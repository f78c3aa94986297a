import { join } from 'node:path';
import type { BackupSettings, Repository } from '#protocol/backup';
import { SETTINGS } from './places.ts';

/** How restic and rclone are told to reach a repository. */
export interface Access {
  /** For `restic --repo`. */
  readonly repository: string;
  readonly resticOptions: readonly string[];
  /** What objects' names are appended to, for rclone. */
  readonly objects: string;
  readonly rcloneOptions: readonly string[];
  /** May hold secrets. */
  readonly environment: Readonly<Record<string, string>>;
}

/** How to reach a repository; each host has a folder of its own in it, named as the inventory names the host. */
export async function accessTo({ host }: BackupSettings, { name, url }: Repository): Promise<Access> {
  const root = join(url, host);
  return {
    repository: `${root}/restic`,
    resticOptions: ['--repo', `${root}/restic`],
    objects: `${root}/objects`,
    rcloneOptions: ['--config', join(SETTINGS, `${name}.rclone`)],
    environment: {},
  };
}
