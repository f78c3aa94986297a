import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { sourceFolder } from '#backup/places';
import { asText, readJson, replaceText } from '#release/durable';
import type { Generation } from './generation.ts';
import { type Lsn, lsnDigits, lsnOfDigits } from './lsn.ts';

/** How far one generation is in a repository. What is not noted here is not there, as far as we know. */
export interface Shipped {
  /** The newest closed segment; all before it are there too. */
  readonly segment?: string;
  /** Up to where the log is there, its last beginning of a segment included. */
  readonly reaches: Lsn;
  readonly histories: readonly string[];
  /** Objects with beginnings of segments, oldest first, that are still to be removed again. */
  readonly partials: readonly string[];
}

/** What has arrived in one repository, by generation. */
export type Arrivals = Readonly<Record<string, Shipped>>;

interface Stored {
  /** Another URL is another repository, whatever it is called. */
  readonly url: string;
  readonly generations: Readonly<Record<string, Omit<Shipped, 'reaches'> & { readonly reaches: string }>>;
}

export const NOTHING: Shipped = { reaches: 0n, histories: [], partials: [] };

/** What a generation is called in the notes of what was shipped. */
export function keyOf({ systemId, generation }: Pick<Generation, 'systemId' | 'generation'>): string {
  return `${systemId}/${generation}`;
}

function folder(app: string, source: string): string {
  return join(sourceFolder(app, source), 'shipped');
}

/** The file that is locked by who ships to a repository. */
export async function shippingLock(app: string, source: string, store: string): Promise<string> {
  await mkdir(folder(app, source), { recursive: true, mode: 0o700 });
  return join(folder(app, source), `${store}.lock`);
}

/** What has arrived in a repository. */
export async function readArrivals(app: string, source: string, store: string, url: string): Promise<Arrivals> {
  const stored = await readJson<Stored>(join(folder(app, source), `${store}.json`));
  if (stored?.url !== url) return {};
  return Object.fromEntries(
    Object.entries(stored.generations).map(([key, one]) => [key, { ...one, reaches: lsnOfDigits(one.reaches) }]),
  );
}

/** Notes what has arrived in a repository. */
export async function writeArrivals(
  app: string,
  source: string,
  store: string,
  url: string,
  arrivals: Arrivals,
): Promise<void> {
  const generations = Object.fromEntries(
    Object.entries(arrivals).map(([key, one]) => [key, { ...one, reaches: lsnDigits(one.reaches) }]),
  );
  await replaceText(join(folder(app, source), `${store}.json`), asText({ url, generations }));
}
