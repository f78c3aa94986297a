import { writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Backups, Done } from '#backup/engine';
import { recipientFor } from '#backup/recipient';
import { seal } from '#backup/seal';
import { copyMissing, tagOf } from '#backup/snapshots';
import { spool } from '#backup/spool';
import type { Snapshot, Store } from '#backup/store/store';
import { asDeployError, DeployError } from '#core/errors';
import type { PostgresSource } from '#protocol/backup';
import { asText } from '#release/durable';
import { type Base, type Catalogue, isComplete, readCatalogue } from './catalogue.ts';
import { type Note, notesPrefix } from './notes.ts';
import { shipAll } from './ship.ts';

/** The tags by which a snapshot is known in every repository. */
export function tagsOf(source: string, { kind, id }: Pick<Note, 'kind' | 'id'>): readonly string[] {
  return [`source=${source}`, `kind=${kind}`, `base=${id}`];
}

/** Puts the note of a copy beside it: only then does the copy count. */
export async function putNote(backups: Backups, source: PostgresSource, store: Store, note: Note): Promise<void> {
  await using folder = await spool(backups.settings.app, source.name, 'note');
  const plain = join(folder.path, note.id);
  await writeFile(plain, asText(note), { mode: 0o600 });
  await seal(await recipientFor(backups, store), [plain], join(folder.path, 'sealed'));
  await store.put(join(folder.path, 'sealed'), notesPrefix(source.name));
}

/** A snapshot of ours by what it is: its id is another one in each repository. */
function keyOf(snapshot: Snapshot): string | undefined {
  const id = tagOf(snapshot, 'base');
  return id === undefined ? undefined : `${tagOf(snapshot, 'kind')} ${id} ${snapshot.paths.join(' ')}`;
}

/** What another repository should have of one: whatever is newer than what it has, and of what it has none the newest. */
export function wantedOf(ours: Catalogue, other: Catalogue): ReadonlySet<string> {
  const known = new Set([...other.bases, ...other.dumps].map(({ note }) => note.id));
  const fulls = ({ note, snapshot }: Base) => note.kind === 'full' && snapshot !== undefined;
  const bases = ours.bases.filter(({ snapshot }) => snapshot !== undefined).map(({ note }) => note.id);
  const dumps = ours.dumps.filter(isComplete).map(({ note }) => note.id);
  const firstBase = other.bases.find(fulls)?.note.id ?? ours.bases.findLast(fulls)?.note.id ?? '';
  const firstDump = other.dumps.find(isComplete)?.note.id ?? dumps.at(-1) ?? '';
  const wanted = [...bases.filter((id) => id >= firstBase), ...dumps.filter((id) => id >= firstDump)];
  return new Set(wanted.filter((id) => !known.has(id)));
}

/** Brings what one repository has into another that could not be reached before, or was never written to. */
export async function carry(backups: Backups, source: PostgresSource, from: Store, to: Store): Promise<void> {
  const [ours, theirs] = await Promise.all([readCatalogue(backups, source, from), readCatalogue(backups, source, to)]);
  const wanted = wantedOf(ours, theirs);
  await copyMissing(from, to, [`source=${source.name}`], keyOf, (key) => wanted.has(key.split(' ')[1] ?? ''));
  const noted = new Set([...theirs.bases, ...theirs.dumps].map(({ object }) => basename(object)));
  const objects = [...ours.bases, ...ours.dumps].flatMap(({ note, object }) =>
    wanted.has(note.id) && !noted.has(basename(object)) ? [object] : [],
  );
  if (objects.length === 0) return;
  await using folder = await spool(backups.settings.app, source.name, `notes-${to.name}`);
  await from.fetch(objects, folder.path);
  await to.put(folder.path, notesPrefix(source.name));
}

/** What a copy still lacks in a repository, as `Done` tells it; undefined where it can be restored from there. */
async function shortOf(
  backups: Backups,
  source: PostgresSource,
  store: Store,
  id: string,
): Promise<string | undefined> {
  const { bases, dumps } = await readCatalogue(backups, source, store);
  const found = [...bases, ...dumps].find(({ note }) => note.id === id);
  if (found === undefined) return `The ${store.name} repository has no copy ${id}.`;
  if (isComplete(found)) return undefined;
  return `The copy ${id} in the ${store.name} repository does not count yet: it lacks ${found.lacks.join(' and ')}.`;
}

/** A copy in the repository that it was made in. */
export interface Made {
  readonly note: Note;
  readonly store: Store;
  readonly added: number;
  readonly snapshot: string;
  /** Repositories that did not take it, and why. */
  readonly failed: readonly Done[];
}

/**
 * Makes a copy in the first repository that takes it. What cannot be made anywhere rejects; a repository that was passed
 * over is told with why.
 */
export async function makeInFirst(
  { stores, host }: Backups,
  make: (store: Store) => Promise<Omit<Made, 'store' | 'failed'>>,
): Promise<Made> {
  const failed: Done[] = [];
  for (const store of stores) {
    try {
      return { ...(await make(store)), store, failed };
    } catch (error) {
      if (!(error instanceof DeployError)) throw error;
      const { message } = error;
      failed.push({ repository: store.name, why: message });
      host.warn(`${store.name}: ${message}`);
    }
  }
  const reasons = new Set(failed.map(({ why }) => why));
  throw new DeployError('backup-failed', [...reasons].join('\n'), {
    hint: 'Nothing was stored, and nothing that was stored before was touched. Mend it; `deploy backup now` tries again.',
  });
}

/** Brings a copy that was made in one repository into the others, and tells of each whether it counts there. */
export async function deliver(
  backups: Backups,
  source: PostgresSource,
  { note, store: first, added, snapshot, failed }: Made,
  details: Readonly<Record<string, unknown>>,
): Promise<readonly Done[]> {
  const done: Done[] = [...failed];
  const passed = new Set(failed.map(({ repository }) => repository));
  for (const store of backups.stores.filter(({ name }) => !passed.has(name))) {
    const common = { repository: store.name, bytes: note.bytes, made: note.id, details };
    try {
      if (note.kind !== 'dump') await shipAll(backups, source, store);
      if (store !== first) await carry(backups, source, first, store);
      const why = await shortOf(backups, source, store, note.id);
      const own = store === first ? { added, details: { ...details, snapshot } } : {};
      done.push({ ...common, ...own, ...(why === undefined ? {} : { why }) });
    } catch (error) {
      done.push({ repository: store.name, why: asDeployError(error).message });
    }
  }
  return done;
}
