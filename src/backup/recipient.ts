import { join } from 'node:path';
import { DeployError } from '#core/errors';
import { asText, readJson, replaceText } from '#release/durable';
import type { Backups } from './engine.ts';
import { recipientOf } from './key.ts';
import { stateFolder } from './places.ts';
import { foreignKey } from './store/refusal.ts';
import type { Store } from './store/store.ts';

/** The key that was seen to open a repository, by its public half. */
interface Proven {
  readonly url: string;
  readonly recipient: string;
}

async function prove({ host, settings }: Backups, store: Store): Promise<string> {
  const { app } = settings;
  const repository = settings.repositories.find(({ name }) => name === store.name);
  if (repository === undefined) throw new Error(`there is no ${store.name} repository`);
  const recipient = await recipientOf(host, app);
  const path = join(stateFolder(app), `${store.name}.opened.json`);
  const proven = await readJson<Proven>(path).catch(() => undefined);
  if (proven?.url === repository.url && proven.recipient === recipient) return recipient;
  const held = await store.look();
  if (held === 'foreign') throw foreignKey(repository);
  if (held === 'none') {
    throw new DeployError('repository-failed', `There is no repository in ${store.title}.`, {
      hint: 'Run `deploy up <environment>`, which makes it; look at the address where there should be one.',
    });
  }
  // Where another run writes it at the same moment, it is proven once more, by the next one.
  await replaceText(path, asText({ url: repository.url, recipient } satisfies Proven)).catch(() => undefined);
  return recipient;
}

/**
 * The public key that a repository's objects are sealed to. Sealing needs nothing but that, so that a key which was put in
 * the place of the right one would go unnoticed until a restoration: before it seals anything, it has to open the
 * repository, once for each key and address. Rejects with `key-refused` where it does not.
 */
export function recipientFor(backups: Backups, store: Store): Promise<string> {
  const { host, settings } = backups;
  return host.once(`recipient of ${settings.app} in ${store.name}`, () => prove(backups, store));
}
