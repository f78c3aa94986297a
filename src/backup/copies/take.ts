import type { Backups, Done } from '#backup/engine';
import { expendable, type Keeping } from '#backup/retention';
import { copyMissing, tagOf, takeSnapshot } from '#backup/snapshots';
import type { Store } from '#backup/store/store';
import { asDeployError, DeployError } from '#core/errors';
import type { Source } from '#protocol/backup';
import { idOf, readCopies, type Stored, tagsOf } from './catalogue.ts';
import { copyNotes, type Note, putNote } from './note.ts';

/** Data that stands still for as long as this is held, and how restic reads it. */
export interface Held extends AsyncDisposable {
  /** The moment that it shows. */
  readonly at: Date;
  /** What restic is asked to back up: the end of its arguments. */
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly note: Pick<Note, 'root' | 'counts'> & Partial<Pick<Note, 'image' | 'version' | 'sqlite'>>;
  /** What a person should know of it, though it is no failure. */
  readonly reservations?: readonly string[];
  /** Looks through what was stored; resolves with what was counted in it, rejects where it is not whole. */
  readonly inspect?: (store: Store, snapshot: string) => Promise<Readonly<Record<string, number>>>;
}

async function write(backups: Backups, source: Source, held: Held, store: Store): Promise<Done> {
  const id = idOf(held.at);
  const taken = await takeSnapshot(store, source.name, tagsOf(source.name, id), held.args, undefined, held.env);
  const { snapshot: made, bytes, added } = taken;
  let counts = held.note.counts;
  try {
    counts = { ...counts, ...(await held.inspect?.(store, made)) };
  } catch (error) {
    await store.restic(['forget', made]);
    throw error;
  }
  const type = source.type as Note['type'];
  const at = held.at.toISOString();
  await putNote(backups, source.name, store, { sqlite: [], ...held.note, kind: 'copy', id, at, type, bytes, counts });
  const { reservations = [] } = held;
  const details = { id, counts, ...(reservations.length === 0 ? {} : { reservations }) };
  return { repository: store.name, bytes, added, made, details };
}

/** The copies that one repository lacks and another has, without those that it would forget at once. */
export function missingOf(from: readonly Stored[], to: readonly Stored[], keeping: Keeping): readonly Stored[] {
  const there = new Set(to.filter(({ complete }) => complete).map(({ id }) => id));
  const missing = from.filter(({ id, complete }) => complete && !there.has(id));
  const going = new Set(expendable([...to.filter(({ complete }) => complete), ...missing], keeping));
  return missing.filter((copy) => !going.has(copy));
}

async function follow(backups: Backups, source: Source, from: Store, to: Store): Promise<Done> {
  const [theirs, ours] = await Promise.all([readCopies(source.name, from), readCopies(source.name, to)]);
  const missing = missingOf(theirs, ours, backups.settings);
  const wanted = new Set(missing.map(({ id }) => id));
  await copyMissing(
    from,
    to,
    [`source=${source.name}`, 'kind=copy'],
    (snapshot) => tagOf(snapshot, 'base'),
    (id) => wanted.has(id),
  );
  const notes = missing.flatMap(({ note }) => note ?? []);
  if (notes.length > 0) await copyNotes(backups, source.name, from, to, notes);
  const last = theirs.findLast(({ complete }) => complete);
  const there = (await readCopies(source.name, to)).find(({ id, complete }) => complete && id === last?.id);
  if (there === undefined) {
    throw new DeployError('repository-failed', `${last?.id ?? 'The copy'} is not there though it was copied there.`, {
      hint: 'It is tried again with the next run.',
    });
  }
  const { id, bytes, snapshot: made } = there;
  return { repository: to.name, bytes, made, details: { id, copied: missing.length } };
}

async function trying(repository: Done['repository'], act: () => Promise<Done>): Promise<Done> {
  try {
    return await act();
  } catch (error) {
    return { ...(repository === undefined ? {} : { repository }), why: asDeployError(error).message };
  }
}

/**
 * Makes a copy in every repository: read once, into the first one that takes it, and copied from there to the others.
 * What a repository has missed while it was down comes along. One that is down delays nobody but itself.
 */
export async function takeCopy(backups: Backups, source: Source, hold: () => Promise<Held>): Promise<readonly Done[]> {
  const all: Done[] = [];
  const { stores } = backups;
  const isThere = (): boolean => all.some(({ made }) => made !== undefined);
  const held = await trying(undefined, async () => {
    // Let go before anything else is copied: a container may be standing still for it.
    await using data = await hold();
    for (const text of data.reservations ?? []) backups.host.warn(`${source.name}: ${text}.`);
    for (const store of stores) {
      if (!isThere()) all.push(await trying(store.name, () => write(backups, source, data, store)));
    }
    return {};
  });
  if (held.why !== undefined) all.push(held);
  const first = stores.find(({ name }) => all.some((done) => done.repository === name && done.made !== undefined));
  if (first === undefined) return all;
  for (const store of stores.slice(stores.indexOf(first) + 1)) {
    all.push(await trying(store.name, () => follow(backups, source, first, store)));
  }
  return all;
}
