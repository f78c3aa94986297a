import { access, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { sourceFolder } from '#backup/places';
import { stampOf } from '#core/stamp';
import { asText, readJson, replaceText } from '#release/durable';
import { logPrefix } from './catalogue.ts';

/** A stretch of one cluster's write-ahead log without a gap. */
export interface Generation {
  readonly systemId: string;
  /** When it began, as `YYYYMMDDTHHMMSSZ`. */
  readonly generation: string;
  readonly segmentBytes: number;
  /** Why the log could not go on where the one before ended, for a person; left out where there was none. */
  readonly gap?: string;
}

function path(app: string, source: string): string {
  return join(sourceFolder(app, source), 'generations.json');
}

/** All generations there ever were on this host, oldest first. */
export async function readGenerations(app: string, source: string): Promise<readonly Generation[]> {
  return (await readJson<readonly Generation[]>(path(app, source))) ?? [];
}

/** The generation that is received at present; undefined where none ever was. */
export async function readGeneration(app: string, source: string): Promise<Generation | undefined> {
  return (await readGenerations(app, source)).at(-1);
}

/** Where the log of a source is received, below it each cluster's and each generation's folder. */
export function archivesFolder(app: string, source: string): string {
  return join(sourceFolder(app, source), 'wal');
}

/** Where a generation is received. */
export function archiveFolder(
  app: string,
  source: string,
  { systemId, generation }: Pick<Generation, 'systemId' | 'generation'>,
): string {
  return join(archivesFolder(app, source), systemId, generation);
}

/** Where a generation is among a repository's objects. */
export function generationPrefix(
  source: string,
  { systemId, generation }: Pick<Generation, 'systemId' | 'generation'>,
): string {
  return `${logPrefix(source)}/${systemId}/${generation}`;
}

/** The moment that a generation began, as milliseconds since 1970. */
export function beginOf({ generation }: Pick<Generation, 'generation'>): number {
  const [, date = '', time = ''] = /^(\d{8})T(\d{6})Z$/.exec(generation) ?? [];
  const day = `${date.slice(0, 4)}-${date.slice(4, 6)}-${date.slice(6)}`;
  return Date.parse(`${day}T${time.slice(0, 2)}:${time.slice(2, 4)}:${time.slice(4)}Z`);
}

/** Begins a generation with an empty folder. What was received before stays where it is until it is shipped. */
export async function beginGeneration(
  app: string,
  source: string,
  cluster: Pick<Generation, 'systemId' | 'segmentBytes'>,
  gap?: string,
): Promise<Generation> {
  const all = await readGenerations(app, source);
  const before = all.at(-1);
  // Two in one second would be one, and with a clock that was set back the new one would come before the old.
  const { systemId, segmentBytes } = cluster;
  const latest = Math.max(Date.now(), before === undefined ? 0 : beginOf(before) + 1000);
  const generation = stampOf(new Date(latest));
  const begun = { systemId, generation, segmentBytes, ...(gap === undefined ? {} : { gap }) };
  await mkdir(archiveFolder(app, source, begun), { recursive: true, mode: 0o700 });
  await replaceText(path(app, source), asText([...all, begun]));
  return begun;
}

/** The generations whose folders are still on the host, oldest first. */
export async function localGenerations(app: string, source: string): Promise<readonly Generation[]> {
  const all = await readGenerations(app, source);
  const there = await Promise.all(
    all.map((one) =>
      access(archiveFolder(app, source, one)).then(
        () => true,
        () => false,
      ),
    ),
  );
  return all.filter((_one, index) => there[index]);
}
