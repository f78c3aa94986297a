import { mkdir, open, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Backups } from '#backup/engine';
import { sourceFolder, stateFolder } from '#backup/places';
import { lockFile } from '#core/file-lock';
import type { PostgresSource } from '#protocol/backup';
import type { Host } from '#resources/resource';
import { segmentAt } from './archive.ts';
import { decide, type Situation, type Step } from './decide.ts';
import { archiveFolder, beginGeneration, type Generation, readGeneration } from './generation.ts';
import { isReceiving, type Observation, observe, SLOT } from './observe.ts';
import {
  type Contained,
  contained,
  isAsWanted,
  receiverOf,
  removeReceiver,
  startReceiver,
  type Wanted,
  wordsOf,
} from './receiver.ts';
import { query } from './server.ts';
import { ensureSettings, ensureSynchronous, undoSettings } from './server-settings.ts';
import { mayWrite, readSpace } from './space.ts';

/** How receiving stands after everything that could be done about it was done. */
export interface Reception {
  readonly state: 'receiving' | 'starting' | 'refused' | 'no space' | 'no server';
  /** For a person, where it is not received. */
  readonly why?: string;
  /** Left out where no server answers. */
  readonly seen?: Observation;
  readonly generation?: Generation;
  /** Whether commits wait for the receiver. */
  readonly synchronous: boolean;
  /** Why generations were begun just now, where there was one before. */
  readonly gaps: readonly string[];
}

/** Steps that are taken in one go, at most: each state is left in one or two. */
const STEPS = 8;

/** Milliseconds between two looks at a receiver that has just been started, and how many there are. */
const LOOK = { every: 400, times: 20 };

/** Seconds to wait for whoever is at it at the moment. */
const TURN = 120;

/** Seconds after which a receiver that runs without receiving has said why. */
const SETTLED = 10;

async function oddFiles(archive: string, segmentBytes: number): Promise<readonly string[]> {
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
    const { flushed } = seen.sender;
    const file = segmentAt(seen.timeline, flushed, seen.segmentBytes);
    // At a segment's very end the next file is not begun.
    const within = flushed % BigInt(seen.segmentBytes) !== 0n;
    if (within && flushed > 0n && !names.some((name) => name >= file)) return 'elsewhere';
  }
  return names.length === 0 ? 'empty' : 'in place';
}

async function makeSlot(host: Host, source: PostgresSource, slot: Observation['slot']): Promise<void> {
  const drop = slot === undefined ? '' : `SELECT pg_drop_replication_slot('${SLOT}');\n`;
  await query(host, source, `${drop}SELECT pg_create_physical_replication_slot('${SLOT}', true);`);
}

async function truncate(archive: string, names: readonly string[]): Promise<void> {
  for (const name of names) {
    const file = await open(join(archive, name), 'r+');
    try {
      await file.truncate(0);
      await file.sync();
    } finally {
      await file.close();
    }
  }
}

/** Waits until nobody else mends, begins or ends what receives a source. */
export async function takeReceivingTurn(app: string, source: string): Promise<AsyncDisposable | undefined> {
  await mkdir(stateFolder(app), { recursive: true, mode: 0o700 });
  return lockFile(join(stateFolder(app), `${source}.receiving.lock`), TURN);
}

/** Everything there is to see at one moment. */
interface Look {
  readonly seen: Observation;
  readonly generation: Generation | undefined;
  readonly receiver: Contained | undefined;
  readonly wanted: Wanted | undefined;
  readonly situation: Situation;
}

async function look(
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

async function carryOut(
  { host, settings: { app } }: Backups,
  source: PostgresSource,
  { seen, generation, wanted }: Look,
  step: Step,
): Promise<void> {
  switch (step.do) {
    case 'begin': {
      await removeReceiver(host, source);
      await ensureSettings(host, app, source, seen);
      if (step.newSlot) await makeSlot(host, source, seen.slot);
      await beginGeneration(app, source.name, seen, step.gap);
      return;
    }
    case 'make slot': {
      await removeReceiver(host, source);
      return makeSlot(host, source, seen.slot);
    }
    case 'stop':
      return removeReceiver(host, source);
    case 'truncate': {
      // While it runs, a file that it has just begun may have any size.
      await removeReceiver(host, source);
      if (generation === undefined) return;
      const archive = archiveFolder(app, source.name, generation);
      return truncate(archive, await oddFiles(archive, generation.segmentBytes));
    }
    case 'start': {
      if (wanted !== undefined) await startReceiver(host, wanted);
      return;
    }
    case 'wait':
    case 'nothing':
    case 'complain':
      return;
  }
}

/**
 * Has the log of a source received: looks what is in its way, mends it, and looks again, until it is received or only
 * time or a person can help. Rejects only where a server that answers cannot be used at all.
 */
export async function receive(
  backups: Backups,
  source: PostgresSource,
  { stopped = false, patience = LOOK.times }: { readonly stopped?: boolean; readonly patience?: number } = {},
): Promise<Reception> {
  const { host, settings } = backups;
  await using _turn = await takeReceivingTurn(settings.app, source.name);
  const gaps: string[] = [];
  const known = await readGeneration(settings.app, source.name);
  const database = await contained(host, source.container);
  const silent = (why: string): Reception => ({
    state: 'no server',
    why,
    synchronous: false,
    gaps,
    ...(known === undefined ? {} : { generation: known }),
  });
  if (database?.running !== true) return silent(`${source.container} does not run`);
  let steps = 0;
  let looks = 0;
  let last: Look | undefined;
  let step: Step = { do: 'wait' };
  while (steps < STEPS && looks < patience) {
    try {
      last = await look(backups, source, database, stopped);
    } catch (error) {
      if (last === undefined) return silent((error as Error).message);
      break;
    }
    step = decide(last.situation);
    if (step.do === 'nothing' || step.do === 'complain') break;
    if (step.do === 'wait') {
      looks += 1;
      await sleep(LOOK.every);
      continue;
    }
    steps += 1;
    await carryOut(backups, source, last, step);
    if (step.do === 'begin' && step.gap !== undefined) gaps.push(step.gap);
    if (step.do === 'stop') break;
  }
  if (last === undefined) return silent('it was not looked at');
  await ensureSettings(host, settings.app, source, last.seen);
  const receiving = step.do === 'nothing';
  const synchronous = await ensureSynchronous(host, settings.app, source, last.seen, receiving);
  const generation = await readGeneration(settings.app, source.name);
  const common = { seen: last.seen, synchronous, gaps, ...(generation === undefined ? {} : { generation }) };
  if (receiving) return { state: 'receiving', ...common };
  if (step.do === 'complain') return { state: 'refused', why: step.why, ...common };
  if (step.do === 'stop') return { state: 'no space', why: 'less than a tenth of the disk is free', ...common };
  const words = last.situation.words.split('\n').at(-1) ?? '';
  return { state: 'starting', why: words === '' ? 'the receiver has not begun yet' : words, ...common };
}

/**
 * Ends receiving for good: commits no longer wait for it, the receiver goes, and the slot, which would hold back log for
 * nobody, and what lies on the host only to be copied.
 */
export async function endReceiving({ host, settings }: Backups, source: PostgresSource): Promise<void> {
  const { app } = settings;
  await using _turn = await takeReceivingTurn(app, source.name);
  if ((await contained(host, source.container))?.running === true) {
    await undoSettings(host, app, source);
    await dropSlot(host, source);
  } else {
    await removeReceiver(host, source);
    host.warn(
      `${source.container} does not run, so its replication slot stays.`,
      `Where its data is used again: SELECT pg_drop_replication_slot('${SLOT}'), and ALTER SYSTEM RESET what is in postgresql.auto.conf.`,
    );
  }
  await rm(sourceFolder(app, source.name), { recursive: true, force: true });
}

async function dropSlot(host: Host, source: PostgresSource): Promise<void> {
  await removeReceiver(host, source);
  // The server may take a moment to notice that nobody listens, and drops no slot before.
  await query(
    host,
    source,
    `DO $$ BEGIN
       PERFORM pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots
         WHERE slot_name = '${SLOT}' AND active_pid IS NOT NULL;
       PERFORM pg_drop_replication_slot('${SLOT}') FROM pg_replication_slots WHERE slot_name = '${SLOT}';
     END $$;`,
  );
}
