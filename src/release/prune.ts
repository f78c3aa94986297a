import { rm } from 'node:fs/promises';
import type { Host } from '#resources/resource';
import { dropImages } from './images.ts';
import { type Stored, storedReleases, unrecorded } from './record.ts';
import { readRun } from './run.ts';
import { PARTS, readSlots, releaseFolder } from './slots.ts';

/** Releases that are kept for a rollback besides those that run, and rejected ones that are kept for a look. */
const KEPT = { served: 5, failed: 2 };

/** Which releases stay: those in use, the last that served, and the last that did not. Given the newest first. */
export function keptOf(stored: readonly Stored[], inUse: ReadonlySet<string>): readonly Stored[] {
  const served = stored.filter(({ outcome }) => outcome?.served === true).slice(0, KEPT.served);
  const failed = stored.filter(({ outcome }) => outcome?.served !== true).slice(0, KEPT.failed);
  return stored.filter((one) => inUse.has(one.record.id) || served.includes(one) || failed.includes(one));
}

/** Drops the files and images of releases that nobody will go back to. */
export async function prune(host: Host, app: string): Promise<void> {
  const [slots, run, stored, strangers] = await Promise.all([
    readSlots(app),
    readRun(app),
    storedReleases(app),
    unrecorded(app),
  ]);
  const inUse = new Set([
    ...PARTS.flatMap((part) => slots[part]?.release ?? []),
    ...(run === undefined ? [] : [run.release]),
  ]);
  const kept = keptOf(stored, inUse);
  const gone = stored.filter((one) => !kept.includes(one));
  for (const id of [...gone.map(({ record }) => record.id), ...strangers.filter((id) => !inUse.has(id))]) {
    await rm(releaseFolder(app, id), { recursive: true, force: true });
  }
  const imagesOf = (all: readonly Stored[]) => all.flatMap(({ record }) => Object.values(record.images));
  await dropImages(host, app, imagesOf(kept), imagesOf(gone));
}
