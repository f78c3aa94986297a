import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import type { Backups } from '#backup/engine';
import { keyPath } from '#backup/places';
import { recipientFor } from '#backup/recipient';
import { seal, unseal } from '#backup/seal';
import { spool } from '#backup/spool';
import type { Store } from '#backup/store/store';
import { asText } from '#release/durable';

/** What is known of a copy only when it is whole; a sealed object beside it. Without one, a snapshot counts for nothing. */
export const noteSchema = z.strictObject({
  kind: z.literal('copy'),
  /** What it is called in every repository. */
  id: z.string(),
  /** ISO 8601: the moment that it shows. */
  at: z.string(),
  type: z.enum(['redis', 'mariadb', 'mysql', 'volume']),
  /** What lies in its snapshot: the path that everything is below. */
  root: z.string(),
  /** Bytes that were read. */
  bytes: z.number(),
  /** The image of the server it is of, by digest where a registry has named it. */
  image: z.string().optional(),
  /** The server's version, in its own words. */
  version: z.string().optional(),
  /** How much of what it holds: keys, rows by table. Counted in the copy itself, so that they must be met exactly. */
  counts: z.record(z.string(), z.number()),
  /** Databases that SQLite copied: where below the root each belongs, and the path it has in the snapshot. */
  sqlite: z.array(z.strictObject({ path: z.string(), copy: z.string() })).default([]),
});
export type Note = z.infer<typeof noteSchema>;

/** Where the notes of a source are among a repository's objects. */
export function notesPrefix(source: string): string {
  return `copies/${source}`;
}

/** Puts a note into a store: from then on the copy is complete there. */
export async function putNote(backups: Backups, source: string, store: Store, note: Note): Promise<void> {
  await using folder = await spool(backups.settings.app, source, 'note');
  const plain = join(folder.path, note.id);
  await writeFile(plain, asText(note), { mode: 0o600 });
  await seal(await recipientFor(backups, store), [plain], join(folder.path, 'sealed'));
  await store.put(join(folder.path, 'sealed'), notesPrefix(source));
}

/** Reads a note from a store; `copy-broken` names it where it is not as it was written. */
export async function openNote({ settings }: Backups, source: string, store: Store, object: string): Promise<Note> {
  await using folder = await spool(settings.app, source, 'reading');
  await store.fetch([object], folder.path);
  const sealed = join(folder.path, object.slice(object.lastIndexOf('/') + 1));
  const [opened = ''] = await unseal(keyPath(settings.app), [sealed], join(folder.path, 'opened'));
  return noteSchema.parse(JSON.parse(await readFile(opened, 'utf8')));
}

/** Brings notes of one store into another. */
export async function copyNotes(
  { settings }: Backups,
  source: string,
  from: Store,
  to: Store,
  objects: readonly string[],
): Promise<void> {
  await using folder = await spool(settings.app, source, `notes-${to.name}`);
  await from.fetch(objects, folder.path);
  await to.put(folder.path, notesPrefix(source));
}
