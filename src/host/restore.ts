import { mkdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import type { Backups } from '#backup/engine';
import { engineOf } from '#backup/engines';
import { restoredFolder } from '#backup/places';
import { openScratch } from '#backup/scratch';
import { seatOf } from '#backup/seat';
import { settingsOf } from '#backup/settings';
import { openStores, type Store, storeNamed } from '#backup/store/store';
import { waysInto } from '#backup/ways-into';
import { asDeployError } from '#core/errors';
import { quote } from '#core/quote';
import type { BackupRequest, Source } from '#protocol/backup';
import type { Facts } from '#protocol/facts';
import { runJob, sourceNamed } from './backup.ts';
import type { Emit } from './journal.ts';
import { runOperation } from './operation.ts';
import { swapData } from './swap-data.ts';

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
  const path = join(kept, restored.data.slice(folder.length));
  emit({
    type: 'restore.done',
    app,
    source: source.name,
    reached: restored.reaches,
    into: 'scratch',
    path,
    ...waysInto(source, path, id),
    duration: (performance.now() - began) / 1000,
  });
}

/** A word for what stood in a place before something was done, by which it is found again. */
function momentName(): string {
  return new Date().toISOString().slice(0, 19).replaceAll(/[-:]/g, '');
}

/** Restores a source beside what runs, and then puts it in its place, together with a release where one is named. */
export async function inPlace(
  backups: Backups,
  source: Source,
  store: Store,
  to: string,
  emit: Emit,
  release?: string,
): Promise<void> {
  const { host, settings } = backups;
  const { app } = settings;
  const began = performance.now();
  const { path, containers } = await seatOf(host, source);
  const moment = momentName();
  const next = `${path}.restored`;
  const before = `${path}.before-${moment}`;
  await host.must(['rm', '--recursive', '--force', next], { timeout: 600 });
  await using scratch = await openScratch(host, app);
  const { folder, labels } = scratch;
  const phase = (name: string): void => host.say(`${source.name}: ${name}`);
  const restored = await engineOf(source).restore(backups, source, { store, to, folder, labels, phase });
  for (const program of ['chown', 'chmod']) await host.run([program, `--reference=${path}`, restored.data]);
  // Across file systems it is copied, all the same while production runs.
  await host.must(['mv', '--no-target-directory', restored.data, next], { timeout: 6 * 3600 });
  await host.must(['sync', '--file-system', next], { timeout: 600 });
  // Should it come to nothing, the watch begins it again.
  await engineOf(source).suspend?.(backups, source);
  const together = release === undefined ? {} : { release };
  await swapData(host, app, { source: source.name, containers, path, next, before, ...together });
  try {
    await engineOf(source).replaced?.(backups, source);
    // It asks for a copy of what there is now: without one, nothing written from here on could be restored.
    await runJob(host, app, 'watch', undefined);
  } catch (thrown) {
    host.warn(`What copies ${source.name} has not begun anew yet: ${asDeployError(thrown).message}`);
  }
  const [stop, start] = ['stop', 'start'].map((what) => `docker ${what} ${containers.join(' ')}`);
  emit({
    type: 'restore.done',
    app,
    source: source.name,
    reached: restored.reaches,
    into: 'in-place',
    path,
    before,
    look: [],
    leave: [`${stop} && mv ${quote(path)} ${quote(`${path}.left`)} && mv ${quote(before)} ${quote(path)} && ${start}`],
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
    else {
      const put = into === 'scratch' ? intoScratch : inPlace;
      for (const source of sources) await put(backups, source, store, to, emit);
    }
    return readsOnly
      ? { changed: 0, unchanged: sources.length, removed: 0 }
      : { changed: sources.length, unchanged: 0, removed: 0 };
  });
}
