import type { Backups, CopyJob, Done } from '#backup/engine';
import type { Store } from '#backup/store/store';
import type { Copy, PostgresSource, Standing } from '#protocol/backup';
import { completeBases, isComplete, readCatalogue } from './catalogue.ts';
import { takeDump } from './dump.ts';
import { takeFull } from './full.ts';
import { readGeneration } from './generation.ts';
import { takeIncremental } from './incremental.ts';
import { readWatched } from './watched.ts';

/** Makes a copy of a cluster in every repository. */
export async function copy(backups: Backups, source: PostgresSource, job: CopyJob): Promise<readonly Done[]> {
  switch (job) {
    case 'incremental':
      return takeIncremental(backups, source);
    case 'dump':
      return takeDump(backups, source);
    default:
      return takeFull(backups, source);
  }
}

/** The copies of a cluster in a repository, oldest first. */
export async function copies(backups: Backups, source: PostgresSource, store: Store): Promise<readonly Copy[]> {
  const catalogue = await readCatalogue(backups, source, store);
  const all = [
    ...catalogue.bases.map(({ note, snapshot, lacks }) => ({ note, id: snapshot, lacks })),
    ...catalogue.dumps.map(({ note, snapshots, lacks }) => ({ note, id: snapshots.at(-1), lacks })),
  ];
  return all
    .map(({ note, id, lacks }) => ({
      ...{ source: source.name, type: source.type, kind: note.kind, repository: store.name, id: id ?? note.id },
      ...{ at: note.at, bytes: note.bytes, complete: isComplete({ lacks }) },
    }))
    .sort((one, other) => (one.at < other.at ? -1 : 1));
}

/**
 * Between which moments a cluster can be restored from a repository: from its first complete copy to what the watch
 * knows to be there, where that goes on from a complete copy.
 */
export async function stands(backups: Backups, source: PostgresSource, store: Store): Promise<Standing> {
  const { app } = backups.settings;
  const catalogue = await readCatalogue(backups, source, store);
  const complete = completeBases(catalogue);
  const [generation, watched] = await Promise.all([readGeneration(app, source.name), readWatched(app, source.name)]);
  const goesOn = complete.some(({ note }) => note.generation === generation?.generation);
  const covered = goesOn ? watched?.stores[store.name]?.covered : undefined;
  const moments = complete.map(({ note }) => note.at).sort();
  const newest = [...moments, ...(covered === undefined ? [] : [covered])].sort().at(-1);
  const dumps = catalogue.dumps.filter(isComplete);
  return {
    ...{ source: source.name, type: source.type, repository: store.name },
    ...(moments[0] === undefined ? {} : { oldest: moments[0] }),
    ...(newest === undefined ? {} : { newest }),
    copies: complete.length + dumps.length,
    bytes: complete.findLast(({ note }) => note.kind === 'full')?.note.bytes ?? 0,
  };
}
