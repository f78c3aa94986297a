import { access, mkdir, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import type { Backups } from '#backup/engine';
import { keyPath, sourceFolder } from '#backup/places';
import { BrokenCopy, unseal } from '#backup/seal';
import { spool } from '#backup/spool';
import type { Store, StoredObject } from '#backup/store/store';

const lsn = z.string().regex(/^[0-9A-F]+\/[0-9A-F]+$/);

/** What every note says of a copy, whatever its kind. */
const common = {
  /** When it was begun, as `YYYYMMDDTHHMMSSZ`: what it is called in every repository. */
  id: z.string(),
  /** As PostgreSQL numbers itself: 170011 for 17.11. */
  version: z.number().int(),
  /** The image that it was taken with, by digest. */
  image: z.string(),
  /** Bytes that were read. */
  bytes: z.number(),
};

const counted = z.strictObject({
  database: z.string(),
  /** Where the log stood when the rows were counted. */
  lsn,
  tables: z.array(
    z.strictObject({
      schema: z.string(),
      name: z.string(),
      rows: z.number(),
      /** Whether they were counted; what is too large to count is estimated by the server. */
      exact: z.boolean(),
    }),
  ),
});

const physical = {
  ...common,
  /** ISO 8601, by the server's clock: the first moment that can be restored from it. */
  at: z.string(),
  systemId: z.string(),
  generation: z.string(),
  timeline: z.number().int(),
  segmentBytes: z.number().int(),
  /** The log from `start` to `stop` makes it consistent. */
  start: lsn,
  stop: lsn,
  /** What lies in its snapshot: the first is the data directory; the others are tablespaces. */
  archives: z.array(z.strictObject({ path: z.string(), oid: z.string().optional(), location: z.string().optional() })),
  /** Where the manifest lies that is in no archive; left out: in the first. */
  manifest: z.string().optional(),
  /** Whether the log from `start` to `stop` is in it too. */
  withLog: z.boolean(),
  counts: z.array(counted),
};

const fullNote = z.strictObject({ kind: z.literal('full'), ...physical });
/** `of`: the full that it is combined with. */
const incrementalNote = z.strictObject({ kind: z.literal('incremental'), of: z.string(), ...physical });
const dumpNote = z.strictObject({
  kind: z.literal('dump'),
  ...common,
  /** ISO 8601: when it was begun. */
  at: z.string(),
  /** One file in each snapshot; without a database: roles and tablespaces. */
  files: z.array(z.strictObject({ path: z.string(), database: z.string().optional() })),
});

/** What is known of a copy only when it is done; a sealed object beside it. Without one, a snapshot counts for nothing. */
export const noteSchema = z.discriminatedUnion('kind', [fullNote, incrementalNote, dumpNote]);
export type Note = z.infer<typeof noteSchema>;
export type BaseNote = Exclude<Note, { kind: 'dump' }>;
export type DumpNote = Extract<Note, { kind: 'dump' }>;

/** Where the notes of a source are among a repository's objects. */
export function notesPrefix(source: string): string {
  return `bases/${source}`;
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Whether what was read once may be believed: whoever proves that a repository suffices must not. */
export interface Fresh {
  readonly anew?: boolean;
}

/**
 * Reads notes. An object's name tells its content by hash, so that one which was opened once is known for ever; those
 * that left the repository are forgotten here too.
 */
export async function readNotes(
  backups: Backups,
  source: string,
  store: Store,
  objects: readonly StoredObject[],
  { anew = false }: Fresh = {},
): Promise<{ notes: { object: string; note: Note }[]; broken: { object: string; why: string }[] }> {
  const { app } = backups.settings;
  const kept = join(sourceFolder(app, source), 'notes', store.name);
  await mkdir(kept, { recursive: true, mode: 0o700 });
  if (!anew) return readInto(backups, source, store, objects, kept);
  await using folder = await spool(app, source, `anew-${store.name}`);
  return await readInto(backups, source, store, objects, folder.path);
}

/** Reads notes into a folder; those that are there already are not fetched again. */
async function readInto(
  { settings: { app } }: Backups,
  source: string,
  store: Store,
  objects: readonly StoredObject[],
  folder: string,
) {
  const own = (object: string) => join(folder, object.slice(object.lastIndexOf('/') + 1));
  const unknown: string[] = [];
  for (const { name } of objects) if (!(await exists(own(name)))) unknown.push(name);
  const broken: { object: string; why: string }[] = [];
  if (unknown.length > 0) {
    await using reading = await spool(app, source, `reading-${store.name}`);
    await store.fetch(unknown, reading.path);
    for (const object of unknown) {
      const sealed = join(reading.path, object.slice(object.lastIndexOf('/') + 1));
      try {
        const [opened] = await unseal(keyPath(app), [sealed], join(reading.path, 'opened'));
        if (opened !== undefined) await rename(opened, own(object));
      } catch (error) {
        if (!(error instanceof BrokenCopy)) throw error;
        broken.push({ object, why: error.message });
      }
    }
  }
  const notes: { object: string; note: Note }[] = [];
  for (const { name: object } of objects) {
    const text = await readFile(own(object), 'utf8').catch(() => undefined);
    if (text === undefined) continue;
    const read = noteSchema.safeParse(parsed(text));
    if (read.success) notes.push({ object, note: read.data });
    else broken.push({ object, why: `It is no note that this version reads: ${z.prettifyError(read.error)}` });
  }
  const there = new Set(objects.map(({ name }) => own(name)));
  for (const name of await readdir(folder)) {
    if (!name.startsWith('.') && !there.has(join(folder, name))) await rm(join(folder, name), { force: true });
  }
  return { notes, broken };
}
