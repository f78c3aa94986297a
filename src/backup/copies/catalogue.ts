import { nameOfSealed } from '#backup/seal';
import { tagOf } from '#backup/snapshots';
import type { Snapshot, Store, StoredObject } from '#backup/store/store';
import { DeployError } from '#core/errors';
import { notesPrefix } from './note.ts';

/** A copy of a source in one repository. */
export interface Stored {
  readonly id: string;
  /** ISO 8601: the moment that it shows. */
  readonly at: string;
  readonly snapshot: string;
  readonly bytes: number;
  /** The object that its note is; left out where it was never completed. */
  readonly note?: string;
  readonly complete: boolean;
}

/** What a copy that shows a moment is called: as `20261121T203433123Z`, so that names sort as moments do. */
export function idOf(moment: Date): string {
  return moment.toISOString().replaceAll(/[-:.]/g, '');
}

/** The moment in a copy's name, as ISO 8601; undefined where it is no such name. */
export function momentOf(id: string): string | undefined {
  const parts = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)(\d{3})Z$/.exec(id);
  if (parts === null) return undefined;
  const [, year, month, day, hour, minute, second, rest] = parts;
  return `${year}-${month}-${day}T${hour}:${minute}:${second}.${rest}Z`;
}

/** The tags of a copy's snapshot. */
export function tagsOf(source: string, id: string): readonly string[] {
  return [`source=${source}`, 'kind=copy', `base=${id}`];
}

/** What a repository holds of a source, from its snapshots and its notes, oldest first. */
export function catalogueOf(snapshots: readonly Snapshot[], objects: readonly StoredObject[]): readonly Stored[] {
  const notes = new Map(objects.map(({ name }) => [nameOfSealed(name)?.plain, name]));
  const found = snapshots.flatMap((one): readonly Stored[] => {
    const { id: snapshot, summary } = one;
    const id = tagOf(one, 'base') ?? '';
    const at = momentOf(id);
    if (at === undefined) return [];
    const note = notes.get(id);
    const bytes = summary?.total_bytes_processed ?? 0;
    return [{ id, at, snapshot, bytes, complete: note !== undefined, ...(note === undefined ? {} : { note }) }];
  });
  return found.sort((one, other) => (one.id < other.id ? -1 : 1));
}

/** What a repository holds of a source, oldest first. */
export async function readCopies(source: string, store: Store): Promise<readonly Stored[]> {
  const [snapshots, objects] = await Promise.all([
    store.snapshots([`source=${source}`, 'kind=copy']),
    store.list(notesPrefix(source)),
  ]);
  return catalogueOf(snapshots, objects);
}

/** The complete copy that shows the latest moment not after the one that is wanted; `restore-refused` where none does. */
export function nearest(source: string, copies: readonly Stored[], to: string): Stored & { readonly note: string } {
  const complete = copies.flatMap((copy) => (copy.note === undefined ? [] : [{ ...copy, note: copy.note }]));
  const [oldest] = complete;
  if (oldest === undefined) {
    throw new DeployError('restore-refused', `There is no complete copy of ${source} in this repository.`, {
      hint: '`deploy backup list <environment>` shows what there is; `--from` names another repository.',
    });
  }
  const moment = to === 'latest' ? Number.POSITIVE_INFINITY : Date.parse(to);
  if (Number.isNaN(moment)) {
    throw new DeployError('restore-refused', `${source} knows no restore point called ${to}, only moments.`, {
      hint: 'Name a moment, such as 2026-05-04T12:00:00+02:00, or `latest`.',
    });
  }
  const found = complete.findLast(({ at }) => Date.parse(at) <= moment);
  if (found !== undefined) return found;
  throw new DeployError('restore-refused', `The oldest copy of ${source} is of ${oldest.at}, after ${to}.`, {
    hint: 'Name a later moment, or `latest`.',
  });
}
