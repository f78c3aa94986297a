import { join } from 'node:path';
import { sourceFolder } from '#backup/places';
import { readSpace, type Space } from '#backup/room';
import { DeployError } from '#core/errors';
import type { PostgresSource } from '#protocol/backup';
import { asText, readJson, replaceText } from '#release/durable';
import type { Host } from '#resources/resource';
import { type Observation, SLOT } from './observe.ts';
import { literal, query } from './server.ts';

const GB = 1024 ** 3;

/** Whether commits wait for the receiver: asked for only while it receives, or they would wait for ever. */
const SYNCHRONOUS = 'synchronous_standby_names';

/** Which of the server's settings are ours, to be taken back. */
function path(app: string, source: string): string {
  return join(sourceFolder(app, source), 'server-settings.json');
}

/**
 * Bytes that the slot may hold back while nobody receives: a quarter of what is free, 1 to 20 GB, and never more than
 * half of the partition, so that a receiver that died cannot stop the database.
 */
export function slotCap({ free, total }: Space): number {
  return Math.floor(Math.min(Math.max(free / 4, GB), 20 * GB, total / 2));
}

/** The settings that a server lacks, and what they should be. What an owner has set stays. */
export function lackingSettings(
  { cap, major, settings }: Pick<Observation, 'cap' | 'major' | 'settings'>,
  space: Space,
): Readonly<Record<string, string>> {
  return {
    ...(cap === -1 ? { max_slot_wal_keep_size: `${Math.max(1, Math.floor(slotCap(space) / 2 ** 20))}MB` } : {}),
    ...(major >= 17 && settings.summarize_wal === 'off' ? { summarize_wal: 'on' } : {}),
  };
}

/** Changes settings of a server for good and has it read them. They are noted as ours before. */
async function set(
  host: Host,
  app: string,
  source: PostgresSource,
  settings: Readonly<Record<string, string>>,
): Promise<void> {
  const names = Object.keys(settings);
  if (names.length === 0) return;
  const file = path(app, source.name);
  const ours = new Set([...((await readJson<readonly string[]>(file)) ?? []), ...names]);
  await replaceText(file, asText([...ours].sort()));
  // ALTER SYSTEM must be alone in its transaction, which each statement that psql reads is.
  const statements = Object.entries(settings).map(([name, value]) => `ALTER SYSTEM SET ${name} = ${literal(value)};`);
  await query(host, source, [...statements, 'SELECT pg_reload_conf();'].join('\n'));
}

/** Gives a server the settings that it lacks; `backup-failed` where its log cannot be received at all. */
export async function ensureSettings(
  host: Host,
  app: string,
  source: PostgresSource,
  seen: Observation,
): Promise<void> {
  if (seen.settings.wal_level === 'minimal') {
    throw new DeployError('backup-failed', `${source.container} runs with wal_level=minimal, which copies nothing.`, {
      hint: "Set wal_level to `replica`, PostgreSQL's default, and restart it.",
    });
  }
  if (source.synchronous && seen.settings.synchronous_commit === 'remote_apply') {
    throw new DeployError('backup-failed', `With synchronous_commit=remote_apply commits would wait for ever.`, {
      hint: 'A receiver applies nothing. Set synchronous_commit to `on`, or `synchronous: false` in the inventory.',
    });
  }
  const names = seen.settings[SYNCHRONOUS];
  if (source.synchronous && names !== '' && names !== SLOT) {
    throw new DeployError('backup-failed', `${source.container} waits for other standbys already: ${names}.`, {
      hint: 'Set `synchronous: false` in the inventory, or reset synchronous_standby_names.',
    });
  }
  await set(host, app, source, lackingSettings(seen, await readSpace(source.storage)));
}

/**
 * Has commits wait for the receiver where that is declared and it receives, and lets them go otherwise: a database that
 * answers nobody is worse than one whose last second lies in one place only. Resolves with whether they wait.
 */
export async function ensureSynchronous(
  host: Host,
  app: string,
  source: PostgresSource,
  seen: Observation,
  receiving: boolean,
): Promise<boolean> {
  const waits = seen.settings[SYNCHRONOUS] === SLOT;
  const should = source.synchronous && receiving && seen.settings.synchronous_commit !== 'remote_apply';
  if (should && !waits) await set(host, app, source, { [SYNCHRONOUS]: SLOT });
  if (!should && waits) await release(host, source);
  return should;
}

async function release(host: Host, source: PostgresSource): Promise<void> {
  await query(host, source, `ALTER SYSTEM RESET ${SYNCHRONOUS};\nSELECT pg_reload_conf();`);
}

/** Takes all of our settings back. */
export async function undoSettings(host: Host, app: string, source: PostgresSource): Promise<void> {
  const ours = (await readJson<readonly string[]>(path(app, source.name))) ?? [];
  if (ours.length === 0) return;
  const statements = ours.map((name) => `ALTER SYSTEM RESET ${name};`);
  await query(host, source, [...statements, 'SELECT pg_reload_conf();'].join('\n'));
}
