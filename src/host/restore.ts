import { mkdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import type { Backups } from '#backup/engine';
import { engineOf } from '#backup/engines';
import { restoredFolder } from '#backup/places';
import { openScratch } from '#backup/scratch';
import { settingsOf } from '#backup/settings';
import { openStores, type Store, storeNamed } from '#backup/store';
import type { BackupRequest, Source } from '#protocol/backup';
import type { Facts } from '#protocol/facts';
import { sourceNamed } from './backup.ts';
import type { Emit } from './journal.ts';
import { runOperation } from './operation.ts';

type Asked = Extract<BackupRequest, { verb: 'restore' }>;

/** Says what a restoration of each source would come to. */
async function preview(backups: Backups, sources: readonly Source[], store: Store, to: string, emit: Emit) {
  const { app } = backups.settings;
  for (const source of sources) {
    const { reaches, newest, base, bytes } = await engineOf(source).foresee(backups, source, { store, to });
    const loses = Math.max(0, (Date.parse(newest) - Date.parse(reaches)) / 1000);
    emit({ type: 'restore.previewed', app, source: source.name, reaches, loses, base, bytes });
  }
}

/** Restores a source beside everything that runs, into a folder that stays until somebody removes it. */
async function intoScratch(backups: Backups, source: Source, store: Store, to: string, emit: Emit): Promise<void> {
  const { host, settings } = backups;
  const { app } = settings;
  const began = performance.now();
  await using scratch = await openScratch(host, app);
  const { folder, labels, id } = scratch;
  const phase = (name: string): void => host.say(`${source.name}: ${name}`);
  const restored = await engineOf(source).restore(backups, source, { store, to, folder, labels, phase });
  const kept = join(restoredFolder(app), `${source.name}-${id}`);
  await mkdir(restoredFolder(app), { recursive: true, mode: 0o700 });
  await rename(folder, kept);
  emit({
    type: 'restore.done',
    app,
    source: source.name,
    reached: restored.reaches,
    into: 'scratch',
    path: join(kept, restored.data.slice(folder.length)),
    duration: (performance.now() - began) / 1000,
  });
}

/** Serves `deploy restore`; resolves with the exit code. */
export async function restore(request: Asked, facts: Facts, tell: (line: string) => void): Promise<number> {
  const { verb, app, environment, by, to, into, only, from } = request;
  const args = { to, into, from, ...(only === undefined ? {} : { only }) };
  // Beside what runs nothing is changed, and it may take hours in which others have to be able to work.
  const readsOnly = request.preview || into === 'scratch';
  return runOperation({ verb, app, environment, by, secrets: [], args, readsOnly }, facts, tell, async (host, emit) => {
    const settings = await settingsOf(app);
    const backups = { host, settings, stores: await openStores(host, settings) };
    const store = storeNamed(backups.stores, from);
    const sources = only === undefined ? settings.sources : [sourceNamed(settings.sources, only)];
    if (request.preview) await preview(backups, sources, store, to, emit);
    else for (const source of sources) await intoScratch(backups, source, store, to, emit);
    return { changed: 0, unchanged: sources.length, removed: 0 };
  });
}
