import { existsSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DeployError } from '#core/errors';
import { lockFile } from '#core/file-lock';
import { lastLines, type Output } from '#core/run';
import { stateFolder } from './places.ts';
import { keyRefusal, NO_RIGHT } from './store/refusal.ts';
import type { Snapshot, Store, Written } from './store/store.ts';

/** Seconds for what moves all of a source's data, below the limit that cron sets. */
export const LONG = 11 * 3600;

/** Seconds that a look through a repository waits for its clearing up, and the other way round. */
const PATIENCE = 1800;

/** restic's exit code where it has read everything it could, and that was not everything. */
const NOT_ALL_READ = 3;

/** What restic wrote, and what the program that it read from said. */
export interface Taken extends Written {
  readonly said: string;
}

interface Message {
  readonly message_type?: string;
  readonly snapshot_id?: string;
  readonly total_bytes_processed?: number;
  readonly data_added_packed?: number;
  readonly message?: string;
  readonly item?: string;
  readonly error?: { readonly message?: string };
}

/** Files that are named where many could not be read. */
const SHOWN = 5;

function messagesOf(text: string): readonly Message[] {
  return text.split('\n').flatMap((line): readonly Message[] => {
    try {
      return line.startsWith('{') ? [JSON.parse(line) as Message] : [];
    } catch {
      return [];
    }
  });
}

/** The lines of a program that restic has read from, without restic's own. */
function saidBy(stderr: string): string {
  const lines = stderr.split('\n').filter((line) => line.startsWith('subprocess '));
  return lines.map((line) => line.replace(/^subprocess \S+: /, '')).join('\n');
}

/** What restic could not read and why, for a person. */
export function unreadOf({ stdout, stderr }: Pick<Output, 'stdout' | 'stderr'>): readonly string[] {
  return messagesOf(`${stdout}\n${stderr}`).flatMap(({ message_type, item, error }) => {
    if (message_type !== 'error') return [];
    const why = error?.message ?? 'it cannot be read';
    return [item === undefined || why.includes(item) ? why : `${item}: ${why}`];
  });
}

function failure(what: string, output: Output): DeployError {
  const { stderr, exitCode, timedOut } = output;
  const refused = keyRefusal(output);
  if (refused !== undefined) return refused;
  const unread = unreadOf(output);
  if (exitCode === NOT_ALL_READ && unread.length > 0) {
    const more = unread.length > SHOWN ? `\nand ${unread.length - SHOWN} more` : '';
    const files = `${unread.slice(0, SHOWN).join('\n')}${more}`;
    return new DeployError('backup-failed', `${what}: not everything could be read:\n${files}`, {
      hint: 'Where files come and go all the time, let their containers `pause` or `stop` meanwhile.',
    });
  }
  const fatal = messagesOf(stderr).findLast((one) => one.message_type === 'exit_error')?.message;
  const said = saidBy(stderr).trim().split('\n').slice(-5).join('\n');
  const words = said === '' ? (fatal ?? lastLines(output)) : said;
  const ended = exitCode === null ? 'was killed' : `failed (exit ${exitCode})`;
  const how = timedOut ? 'did not end in time' : ended;
  return new DeployError('backup-failed', `${what} ${how}${words === '' ? '.' : `:\n${words}`}`, {
    hint: 'Mend what its last lines name; the copies made before are untouched. `deploy backup now` tries again.',
  });
}

/** The value of one of our tags on a snapshot. */
export function tagOf({ tags = [] }: Partial<Pick<Snapshot, 'tags'>>, name: string): string | undefined {
  return tags.find((tag) => tag.startsWith(`${name}=`))?.slice(name.length + 1);
}

/**
 * Backs up into a repository: files, or what a program prints (`--stdin-from-command`). What restic could not read whole
 * leaves no snapshot, and rejects with `backup-failed` and the program's own last lines.
 */
export async function takeSnapshot(
  store: Store,
  what: string,
  tags: readonly string[],
  args: readonly string[],
  cwd?: string,
  env?: Readonly<Record<string, string>>,
): Promise<Taken> {
  const tagged = tags.flatMap((tag) => ['--tag', tag]);
  const output = await store.restic(['backup', '--json', '--quiet', ...tagged, ...args], {
    timeout: LONG,
    ...(cwd === undefined ? {} : { cwd }),
    ...(env === undefined ? {} : { env }),
  });
  const summary = messagesOf(output.stdout).find((one) => one.message_type === 'summary');
  const snapshot = summary?.snapshot_id;
  const bytes = summary?.total_bytes_processed ?? 0;
  // A folder may be empty; a program that prints nothing has failed.
  const isEmpty = bytes === 0 && args.includes('--stdin-from-command');
  if (output.exitCode === 0 && snapshot !== undefined && !isEmpty) {
    return { snapshot, bytes, added: summary?.data_added_packed ?? 0, said: saidBy(output.stderr) };
  }
  // Of what it could read only in part, and of nothing, restic writes a snapshot all the same.
  if (snapshot !== undefined) await store.restic(['forget', snapshot]);
  if (output.exitCode !== 0) throw failure(what, output);
  throw new DeployError('backup-failed', `${what} gave nothing at all.`, {
    hint: 'Look whether there is anything to back up; the copies made before are untouched.',
  });
}

/** Does work on a snapshot that is worth nothing unless it succeeds; where it fails, the snapshot goes, if it may. */
export async function orDiscard<T>(store: Store, snapshots: readonly string[], work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (snapshots.length > 0) await store.restic(['forget', ...snapshots]);
    throw error;
  }
}

/** Why nothing can be deleted from a repository, where it was just refused; undefined where it failed otherwise. */
function refusedToDelete(output: Pick<Output, 'stderr' | 'stdout'>): string | undefined {
  const line = `${output.stderr}\n${output.stdout}`.split('\n').find((one) => NO_RIGHT.test(one));
  return line?.trim();
}

async function maintenance(app: string, store: Store): Promise<AsyncDisposable> {
  const turn = await lockFile(join(stateFolder(app), `${store.name}.maintenance`), PATIENCE);
  if (turn !== undefined) return turn;
  throw new DeployError('locked', `The ${store.name} repository is being looked through or cleared up.`, {
    hint: 'It is tried again with the next run.',
  });
}

/**
 * Forgets snapshots and gives back their space. Resolves with what the repository says where it lets nobody delete:
 * that is a choice, not a fault.
 */
export async function forgetSnapshots(
  app: string,
  store: Store,
  snapshots: readonly string[],
): Promise<string | undefined> {
  // What was forgotten by a run that failed then takes its space until somebody prunes.
  const unpruned = join(stateFolder(app), `${store.name}.unpruned`);
  if (snapshots.length === 0 && !existsSync(unpruned)) return undefined;
  await using _turn = await maintenance(app, store);
  await writeFile(unpruned, '', { flush: true });
  for (const args of [
    ...(snapshots.length === 0 ? [] : [['forget', ...snapshots]]),
    ['prune', '--max-unused', '10%'],
  ]) {
    const output = await store.restic(args, { timeout: LONG });
    if (output.exitCode === 0) continue;
    const refused = refusedToDelete(output);
    if (refused !== undefined) {
      await rm(unpruned, { force: true });
      return refused;
    }
    throw failure(`Forgetting in the ${store.name} repository`, output);
  }
  await rm(unpruned, { force: true });
  return undefined;
}

/** Lines of what is broken that a record holds. */
const MOST_NAMED = 50;

/** Into how many parts a repository is divided to be read whole, one part a day. */
export const PARTS = 30;

/** The part that is looked at on the day of a moment, from 1. */
export function partOf(now: number): number {
  return (Math.floor(now / 86_400_000) % PARTS) + 1;
}

const looked = new WeakMap<Store, Promise<string | undefined>>();

/**
 * Reads the day's part of a repository and checks its structure; resolves with what is broken, for a person, and with
 * undefined where all is as it was written. Once in a run, however many sources have their snapshots in it.
 */
export function checkSnapshots(app: string, store: Store, now: number): Promise<string | undefined> {
  const found = looked.get(store) ?? look(app, store, now);
  looked.set(store, found);
  return found;
}

async function look(app: string, store: Store, now: number): Promise<string | undefined> {
  await using _turn = await maintenance(app, store);
  // Without restic's lock: it would keep backups out for as long as this takes.
  const output = await store.restic(['check', '--no-lock', `--read-data-subset=${partOf(now)}/${PARTS}`], {
    timeout: LONG,
  });
  if (output.exitCode === 0) return undefined;
  // Only lines that name something are worth a person's time; what restic suggests is not for an alarm.
  const named = `${output.stdout}\n${output.stderr}`
    .split('\n')
    .filter((line) => /\b[0-9a-f]{8,64}\b/.test(line) && !/^\s*restic /.test(line));
  return named.length === 0 ? lastLines(output) : [...new Set(named)].slice(0, MOST_NAMED).join('\n');
}

/**
 * Brings snapshots of a source into a repository that lacks them, as far as `wanted` says. A copy has another id in each
 * repository, so it is known by a tag of ours.
 */
export async function copyMissing(
  from: Store,
  to: Store,
  tags: readonly string[],
  keyOf: (snapshot: Snapshot) => string | undefined,
  wanted: (key: string) => boolean,
): Promise<readonly Snapshot[]> {
  const [ours, theirs] = await Promise.all([from.snapshots(tags), to.snapshots(tags)]);
  const there = new Set(theirs.map(keyOf));
  const missing = ours.filter((one) => {
    const key = keyOf(one);
    return key !== undefined && !there.has(key) && wanted(key);
  });
  if (missing.length === 0) return [];
  await to.copyFrom(
    from,
    missing.map(({ id }) => id),
  );
  return missing;
}
