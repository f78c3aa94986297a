import { rename, rm } from 'node:fs/promises';
import { hasKey, makeKey } from '#backup/key';
import { escrowPath, keyPath, SETTINGS, shownPath } from '#backup/places';
import { DeployError } from '#core/errors';
import type { BackupSettings } from '#protocol/backup';
import { syncFolder } from '#release/durable';
import type { Host } from '#resources/resource';
import { checkRestic } from './restic.ts';
import { openStore, openStores, type Store } from './store.ts';

/**
 * Makes the key of a host that has none. Where a repository holds backups already, they are another key's: a host that
 * was lost had it, and a new one would shut their owner out.
 */
async function firstKey(host: Host, settings: BackupSettings): Promise<void> {
  const draft = `${keyPath(settings.app)}.draft`;
  await rm(draft, { force: true });
  try {
    await makeKey(host, draft);
    for (const repository of settings.repositories) {
      const store = await openStore(host, settings, repository, draft);
      if ((await store.look()) === 'none') continue;
      throw new DeployError('key-refused', `${store.title} holds backups of this host, whose key is not here.`, {
        hint: 'Put the copy of their key here with `deploy backup key install <environment>`, then run the same command again. Only where they are not wanted any more: take another `backups.repository`.',
      });
    }
    // What is remembered is of a key that was here before: nobody has seen this one.
    for (const path of [escrowPath(settings.app), shownPath(settings.app)]) await rm(path, { force: true });
    await rename(draft, keyPath(settings.app));
    await syncFolder(SETTINGS);
  } finally {
    await rm(draft, { force: true });
  }
  host.warn(
    'The backups are encrypted with a key that is on this host alone. If the host is lost, they cannot be opened.',
    `Take a copy now: \`deploy backup key show ${settings.environment}\`, and keep it somewhere that does not go with the host.`,
  );
}

/**
 * Makes ready the key and the repositories of an app; done again, it changes nothing. One repository that cannot be made
 * ready does not keep the others from it: why is told with the stores.
 */
export async function prepareStores(
  host: Host,
  settings: BackupSettings,
): Promise<{ readonly stores: readonly Store[]; readonly failures: readonly DeployError[] }> {
  await checkRestic(host);
  if (!(await hasKey(host, settings.app))) await firstKey(host, settings);
  const stores = await openStores(host, settings);
  const failures: DeployError[] = [];
  const ready: Store[] = [];
  const missing: Store[] = [];
  for (const store of stores) {
    await store.look().then(
      (standing) => (standing === 'none' ? missing : ready).push(store),
      (error: DeployError) => failures.push(error),
    );
  }
  // Cut alike, what is copied from one to another is stored there once.
  for (const store of [...ready, ...missing]) {
    await store.initialize(missing.includes(store) ? ready[0] : undefined).then(
      () => (ready.includes(store) ? undefined : ready.push(store)),
      (error: DeployError) => failures.push(error),
    );
  }
  return { stores, failures };
}
