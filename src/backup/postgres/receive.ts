import { mkdir, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Backups } from '#backup/engine';
import { sourceFolder, stateFolder } from '#backup/places';
import { lockFile } from '#core/file-lock';
import type { PostgresSource } from '#protocol/backup';
import { decide, type Step } from './decide.ts';
import { archiveFolder, beginGeneration, type Generation, readGeneration } from './generation.ts';
import { type Look, look, oddFiles } from './look.ts';
import { type Observation, SLOT } from './observe.ts';
import { contained, removeReceiver, startReceiver } from './receiver.ts';
import { query } from './server.ts';
import { ensureSettings, ensureSynchronous, undoSettings } from './server-settings.ts';

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

/** Drops our slot where there is one. The server may take a moment to notice that nobody listens, and drops none before. */
const DROP_SLOT = `
DO $$ BEGIN
  PERFORM pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots
    WHERE slot_name = '${SLOT}' AND active_pid IS NOT NULL;
  PERFORM pg_drop_replication_slot('${SLOT}') FROM pg_replication_slots WHERE slot_name = '${SLOT}';
END $$;`;

/** Has the server keep its log from now on until we have received it. */
const NEW_SLOT = `${DROP_SLOT}\nSELECT pg_create_physical_replication_slot('${SLOT}', true);`;

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
      if (step.newSlot) await query(host, source, NEW_SLOT);
      await beginGeneration(app, source.name, seen, step.gap);
      return;
    }
    case 'make slot': {
      await removeReceiver(host, source);
      await query(host, source, NEW_SLOT);
      return;
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
  let afresh = false;
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
    if (step.do === 'nothing' || (step.do === 'complain' && afresh)) break;
    if (step.do === 'complain') {
      // What it complains of may be mended by now, and it waits longer and longer until it tries again.
      afresh = true;
      step = { do: 'start' };
    }
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
  const receiving = step.do === 'nothing';
  const synchronous = await ensureSynchronous(host, settings.app, source, last.seen, receiving);
  await ensureSettings(host, settings.app, source, last.seen);
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
    await removeReceiver(host, source);
    await query(host, source, DROP_SLOT);
  } else {
    await removeReceiver(host, source);
    host.warn(
      `${source.container} does not run, so its replication slot stays.`,
      `Where its data is used again: SELECT pg_drop_replication_slot('${SLOT}'), and ALTER SYSTEM RESET what is in postgresql.auto.conf.`,
    );
  }
  await rm(sourceFolder(app, source.name), { recursive: true, force: true });
}
