import { join } from 'node:path';

/** Where everything lies that only root may read: settings, key, SSH identity. */
export const SETTINGS = '/etc/slipway/backups';

/** What an app's backups are, as the inventory says. */
export function settingsPath(app: string): string {
  return join(SETTINGS, `${app}.json`);
}

/**
 * The one key of an app's backups on this host: an age identity, whose text is the password of its restic repositories
 * too, so that there is one thing to keep safe.
 */
export function keyPath(app: string): string {
  return join(SETTINGS, `${app}.key`);
}

/** What is remembered of an app's backups: records, drills, archives, spools. */
export function stateFolder(app: string): string {
  return join('/var/lib/slipway/backup', app);
}

/** Where a source keeps what it works with. */
export function sourceFolder(app: string, source: string): string {
  return join(stateFolder(app), 'sources', source);
}

/** When somebody has proven to have a copy of the key: `{"at": …}`. */
export function escrowPath(app: string): string {
  return join(stateFolder(app), 'escrow.json');
}

/** Touched whenever `watch` has ended. */
export function watchedPath(app: string): string {
  return join(stateFolder(app), 'watched');
}

/** What the receiver of the ping was told last. */
export function toldPath(app: string): string {
  return join(stateFolder(app), 'told.json');
}

/** Where restored data lies that is there to be looked at. */
export function restoredFolder(app: string): string {
  return join(stateFolder(app), 'restored');
}

/** When the key was shown, and to whom. */
export function shownPath(app: string): string {
  return join(stateFolder(app), 'key-shown.json');
}
