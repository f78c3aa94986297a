import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { BackupSettings } from '#protocol/backup';
import { asText, readJson, replaceText } from '#release/durable';
import type { Host } from '#resources/resource';
import { engineOf } from './engines.ts';
import { settingsPath, stateFolder } from './places.ts';
import { sweepScratch } from './scratch.ts';
import { readSettings } from './settings.ts';
import { prepareStores } from './store/prepare.ts';
import { openStores } from './store/store.ts';

/** With which settings everything was made ready. */
function readyPath(app: string): string {
  return join(stateFolder(app), 'ready.json');
}

function digestOf(settings: BackupSettings): string {
  return createHash('sha256').update(JSON.stringify(settings)).digest('hex');
}

/** What is declared on the host, and whether everything was made ready for it. */
export async function readInstalled(app: string): Promise<{ settings: BackupSettings; ready: boolean } | undefined> {
  const [settings, ready] = await Promise.all([readSettings(app), readJson<{ digest: string }>(readyPath(app))]);
  return settings === undefined ? undefined : { settings, ready: ready?.digest === digestOf(settings) };
}

/** Makes everything ready: the key, the repositories, what copies all the time. Done again, it changes nothing. */
export async function install(host: Host, settings: BackupSettings): Promise<void> {
  const { app } = settings;
  const before = await readSettings(app);
  await replaceText(settingsPath(app), asText(settings));
  const { stores, failures } = await prepareStores(host, settings);
  const backups = { host, settings, stores };
  const wanted = new Set(settings.sources.map(({ name }) => name));
  for (const source of before?.sources ?? []) {
    if (!wanted.has(source.name)) await engineOf(source).uninstall?.(backups, source);
  }
  for (const source of settings.sources) await engineOf(source).install?.(backups, source);
  // Last, so that what can be backed up is, wherever it can go.
  for (const failure of failures) throw failure;
  await replaceText(readyPath(app), asText({ digest: digestOf(settings) }));
}

/** Takes everything off the host but the copies, the key that opens them and the records. */
export async function uninstall(host: Host, app: string): Promise<void> {
  const settings = await readSettings(app);
  if (settings === undefined) return;
  const backups = { host, settings, stores: await openStores(host, settings) };
  for (const source of settings.sources) await engineOf(source).uninstall?.(backups, source);
  // No look of the next minute comes to do it.
  await sweepScratch(host, app);
  await host.must(['rm', '--force', settingsPath(app), readyPath(app)]);
}
