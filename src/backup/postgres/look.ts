import { mkdir, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Backups } from '#backup/engine';
import { mayWrite, readSpace } from '#backup/room';
import type { PostgresSource } from '#protocol/backup';
import { segmentAt } from './archive.ts';
import type { Situation } from './decide.ts';
import { archiveFolder, type Generation, readGeneration } from './generation.ts';
import { isReceiving, type Observation, observe } from './observe.ts';
import { type Contained, contained, isAsWanted, receiverOf, type Wanted, wordsOf } from './receiver.ts';

/** Seconds after which a receiver that runs without receiving has said why. */
const SETTLED = 10;

/** The beginnings of segments in a folder whose size no receiver goes on from: a full disk leaves them. */
export async function oddFiles(archive: string, segmentBytes: number): Promise<readonly string[]> {
  const odd: string[] = [];
  for (const name of await readdir(archive).catch(() => [])) {
    if (!name.endsWith('.partial')) continue;
    const size = (await stat(join(archive, name)).catch(() => undefined))?.size ?? 0;
    if (size !== 0 && size !== segmentBytes) odd.push(name);
  }
  return odd;
}

async function inode(path: string): Promise<number | undefined> {
  return (await stat(path).catch(() => undefined))?.ino;
}

/** Whether what the receiver writes is what we look at: folders are put in one another's place. */
async function placeOf(
  archive: string,
  seen: Observation,
  receiver: Contained | undefined,
): Promise<Situation['archive']> {
  const names = await readdir(archive).catch(() => []);
  if (receiver?.running === true && isReceiving(seen) && seen.sender !== undefined) {
    const its = await inode(`/proc/${receiver.pid}/root/archive`);
    if (its !== undefined && its !== (await inode(archive))) return 'elsewhere';
    const { received } = seen.sender;
    const file = segmentAt(seen.timeline, received, seen.segmentBytes);
    // At a segment's very end the next file is not begun.
    const within = received % BigInt(seen.segmentBytes) !== 0n;
    if (within && received > 0n && !names.some((name) => name >= file)) return 'elsewhere';
  }
  return names.length === 0 ? 'empty' : 'in place';
}

/** Everything there is to see at one moment. */
export interface Look {
  readonly seen: Observation;
  readonly generation: Generation | undefined;
  readonly receiver: Contained | undefined;
  readonly wanted: Wanted | undefined;
  readonly situation: Situation;
}

/** Looks at everything that decides whether the log of a source is received; rejects where the server does not answer. */
export async function look(
  { host, settings: { app } }: Backups,
  source: PostgresSource,
  database: Contained,
  stopped: boolean,
): Promise<Look> {
  const seen = await observe(host, source);
  const [generation, receiver] = await Promise.all([
    readGeneration(app, source.name),
    contained(host, receiverOf(source)),
  ]);
  const archive = generation === undefined ? undefined : archiveFolder(app, source.name, generation);
  if (archive !== undefined) await mkdir(archive, { recursive: true, mode: 0o700 });
  const wanted = archive === undefined ? undefined : { app, source, database, port: seen.port, archive };
  const age = receiver === undefined ? 0 : (Date.now() - Date.parse(receiver.started)) / 1000;
  const situation: Situation = {
    seen,
    generation,
    fits: wanted !== undefined && isAsWanted(receiver, wanted),
    settled: age > SETTLED,
    words: isReceiving(seen) || receiver === undefined ? '' : await wordsOf(host, source),
    archive: archive === undefined ? 'empty' : await placeOf(archive, seen, receiver),
    odd: archive === undefined ? [] : await oddFiles(archive, seen.segmentBytes),
    space: archive === undefined || mayWrite(await readSpace(archive), stopped),
  };
  return { seen, generation, receiver, wanted, situation };
}
