import { appendFile, mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { sourceFolder } from '#backup/places';
import type { RepositoryName } from '#protocol/backup';
import { asText, readJson, replaceText } from '#release/durable';
import { formatLsn, type Lsn, parseLsn } from './lsn.ts';
import { heldBy, type Observation } from './observe.ts';
import type { Reception } from './receive.ts';

/** How one repository stands with the write-ahead log. */
export interface Coverage {
  /** ISO 8601: everything that was committed before is there; left out where nothing ever was. */
  readonly covered?: string;
  /** Whether the server has written more since. */
  readonly behind: boolean;
  /** Why nothing could be shipped. */
  readonly why?: string;
}

/** What the last look at a source's write-ahead log came to. */
export interface Watched {
  /** ISO 8601. */
  readonly at: string;
  readonly state: Reception['state'];
  readonly why?: string;
  /** ISO 8601: since when it is not received; left out while it is. */
  readonly since?: string;
  /** Bytes that the server keeps back for the receiver, and at most. */
  readonly held?: number;
  readonly cap?: number;
  readonly synchronous: boolean;
  readonly stores: Readonly<Partial<Record<RepositoryName, Coverage>>>;
  /** ISO 8601: when a full copy was asked for last. */
  readonly asked?: string;
}

function path(app: string, source: string): string {
  return join(sourceFolder(app, source), 'watch.json');
}

/** What the last look came to; undefined where there was none. */
export function readWatched(app: string, source: string): Promise<Watched | undefined> {
  return readJson<Watched>(path(app, source));
}

/** Notes what a look came to. */
export function writeWatched(app: string, source: string, watched: Watched): Promise<void> {
  return replaceText(path(app, source), asText(watched));
}

/** What a reception tells of itself. */
export function standingOf(
  { state, why, seen, synchronous }: Reception,
  before: Watched | undefined,
  at: string,
): Omit<Watched, 'stores'> {
  const since = state === 'receiving' ? undefined : (before?.since ?? at);
  return {
    at,
    state,
    synchronous,
    ...(why === undefined ? {} : { why }),
    ...(since === undefined ? {} : { since }),
    ...(seen === undefined ? {} : { held: heldBy(seen), cap: seen.cap }),
    ...(before?.asked === undefined ? {} : { asked: before.asked }),
  };
}

function ticksFolder(app: string, source: string): string {
  return join(sourceFolder(app, source), 'ticks');
}

/**
 * Notes a moment and where the log stood then, by the server's clock, a file for each day: what was committed before it
 * lies before that position.
 */
export async function tick(
  app: string,
  source: string,
  { time, flushed, sender }: Pick<Observation, 'time' | 'flushed' | 'sender'>,
  generation?: string,
): Promise<void> {
  const at = new Date(time * 1000).toISOString();
  const folder = ticksFolder(app, source);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const line = {
    at,
    flushed: formatLsn(flushed),
    ...(sender === undefined ? {} : { received: formatLsn(sender.received) }),
    ...(generation === undefined ? {} : { generation }),
  };
  await appendFile(join(folder, `${at.slice(0, 10)}.ndjson`), `${JSON.stringify(line)}\n`, {
    mode: 0o600,
    flush: true,
  });
}

const tickSchema = z.object({
  at: z.string(),
  flushed: z.string(),
  received: z.string().optional(),
  generation: z.string().optional(),
});

/**
 * The last noted moment, as ISO 8601, up to which a log that ends at a position holds everything that was committed while
 * a generation was received; undefined where none was noted.
 */
export async function coveredBy(
  app: string,
  source: string,
  generation: string,
  end: Lsn,
): Promise<string | undefined> {
  const folder = ticksFolder(app, source);
  const days = (await readdir(folder).catch(() => [])).sort().reverse();
  for (const day of days) {
    const lines = (await readFile(join(folder, day), 'utf8')).trimEnd().split('\n').reverse();
    for (const line of lines) {
      const tick = tickSchema.safeParse(parsed(line)).data;
      if (tick?.generation !== generation || tick.received === undefined) continue;
      if (parseLsn(tick.flushed) <= end) return tick.at;
    }
  }
  return undefined;
}

// A power cut may have left a part of a line.
function parsed(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

/** Removes moments that are older than is kept. */
export async function forgetTicks(app: string, source: string, keep: number, now: number): Promise<void> {
  const folder = ticksFolder(app, source);
  const oldest = new Date(now - (keep + 24 * 3600) * 1000).toISOString().slice(0, 10);
  for (const name of await readdir(folder).catch(() => [])) {
    if (name.slice(0, 10) < oldest) await rm(join(folder, name), { force: true });
  }
}
