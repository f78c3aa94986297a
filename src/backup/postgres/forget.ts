import type { Backups, Done } from '#backup/engine';
import { readRecords } from '#backup/records';
import { forgetSnapshots } from '#backup/snapshots';
import { jumpOf } from '#backup/steady';
import type { Store } from '#backup/store/store';
import type { PostgresSource } from '#protocol/backup';
import { readCatalogue } from './catalogue.ts';
import { expired } from './expire.ts';

/**
 * Forgets what no moment needs that is kept: first copies, then their notes, then log, so that whatever is interrupted
 * leaves no copy that seems whole and is not.
 */
export async function forget(
  backups: Backups,
  source: PostgresSource,
  store: Store,
  now: number = Date.now(),
): Promise<readonly Done[]> {
  const { host, settings } = backups;
  const repository = store.name;
  const jump = jumpOf(
    (await readRecords(settings.app)).map(({ at }) => at),
    now,
  );
  if (jump !== undefined) {
    const waits = `Nothing is forgotten until the clock has been steady for a day: it went from ${jump.from} to ${jump.to}.`;
    host.warn(waits);
    return [{ repository, details: { source: source.name, waits } }];
  }
  const { bases, dumps, orphans, log } = expired(await readCatalogue(backups, source, store), settings, now);
  const snapshots = [
    ...bases.flatMap(({ snapshot }) => snapshot ?? []),
    ...dumps.flatMap((dump) => dump.snapshots.flatMap((one) => one ?? [])),
    ...orphans.map(({ id }) => id),
  ];
  const notes = [...bases, ...dumps].map(({ object }) => object);
  const details = { source: source.name, copies: notes.length, snapshots: snapshots.length, log: log.length };
  const refused = (await forgetSnapshots(settings.app, store, snapshots)) ?? (await store.remove([...notes, ...log]));
  if (refused === undefined) return [{ repository, details }];
  host.say(`the ${repository} repository lets nobody delete, as it may: ${refused}`);
  return [{ repository, details: { ...details, refused } }];
}
