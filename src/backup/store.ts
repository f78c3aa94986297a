import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { DeployError } from '#core/errors';
import { lastLines, type Output, type RunOptions } from '#core/run';
import type { BackupSettings, Repository, RepositoryName } from '#protocol/backup';
import type { Host } from '#resources/resource';
import { keyPath } from './places.ts';
import { type Access, accessTo } from './repository.ts';

/** A snapshot of restic, as `restic snapshots --json` tells. */
export interface Snapshot {
  readonly id: string;
  /** ISO 8601. */
  readonly time: string;
  readonly tags: readonly string[];
  readonly paths: readonly string[];
  readonly summary?: { readonly total_bytes_processed: number; readonly data_added_packed: number };
}

/** An object of a store: its name below the store's objects, and its size in bytes. */
export interface StoredObject {
  readonly name: string;
  readonly size: number;
}

/** What a backup into restic came to. */
export interface Written {
  readonly snapshot: string;
  readonly bytes: number;
  readonly added: number;
}

/** One repository, as the backups of one app on one host use it: snapshots by restic, and objects written once. */
export interface Store {
  readonly name: RepositoryName;
  /** Runs restic on the repository and resolves whatever its exit code. */
  restic(args: readonly string[], options?: RunOptions): Promise<Output>;
  /** Makes the repository where there is none; rejects where there is one that our key does not open. */
  initialize(): Promise<void>;
  /** The snapshots that have all these tags, oldest first. */
  snapshots(tags: readonly string[]): Promise<readonly Snapshot[]>;
  /** Copies snapshots of another store of the same app. */
  copyFrom(other: Store, snapshots: readonly string[]): Promise<void>;
  /** What restic needs to be started with, for whoever starts it otherwise. */
  readonly access: Access;
  /**
   * Puts all files of a folder below a prefix. An object is never written over; rejects unless every one of them is
   * there with its size, so what it was given may be forgotten afterwards.
   */
  put(folder: string, prefix: string): Promise<void>;
  /** All objects below a prefix, by name; names begin with the prefix. */
  list(prefix: string): Promise<readonly StoredObject[]>;
  /** Brings objects into a folder, under the last part of their names. */
  fetch(names: readonly string[], folder: string): Promise<void>;
}

/** Seconds that restic waits for another one's lock. */
const PATIENCE = '5m';
/** Seconds for what brings little; whoever moves a database says so. */
const SHORT = 300;

const HINT = 'Look at what the repository says; `deploy backup status` tells what is still there.';

function refuse(what: string, output: Output): DeployError {
  return new DeployError('repository-failed', `${what} failed (exit ${output.exitCode}):\n${lastLines(output)}`, {
    hint: HINT,
  });
}

/** A repository of an app, ready to be used. */
export async function openStore(host: Host, settings: BackupSettings, repository: Repository): Promise<Store> {
  const { app } = settings;
  const access = await accessTo(settings, repository);
  const remote = (path: string): string => `${access.objects}/${path}`;

  const restic: Store['restic'] = (args, options = {}) =>
    host.run(
      [...['restic', '--retry-lock', PATIENCE, '--password-file', keyPath(app)], ...access.resticOptions, ...args],
      { timeout: SHORT, ...options, env: { ...access.environment, ...options.env } },
    );
  const rclone = (args: readonly string[], options: RunOptions = {}): Promise<Output> =>
    host.run(['rclone', ...access.rcloneOptions, ...args], {
      timeout: SHORT,
      ...options,
      env: { ...access.environment, ...options.env },
    });
  const must = async (what: string, output: Promise<Output>): Promise<Output> => {
    const ended = await output;
    if (ended.exitCode !== 0) throw refuse(what, ended);
    return ended;
  };

  const store: Store = {
    name: repository.name,
    access,
    restic,
    async initialize() {
      if ((await restic(['cat', 'config'])).exitCode === 0) return;
      await must('Making the repository', restic(['init']));
    },
    async snapshots(tags) {
      const filter = tags.length === 0 ? [] : ['--tag', tags.join(',')];
      const { stdout } = await must('Reading the snapshots', restic(['snapshots', '--json', ...filter]));
      const found = JSON.parse(stdout) as readonly Snapshot[];
      return [...found].sort((one, other) => (one.time < other.time ? -1 : 1));
    },
    async copyFrom(other, snapshots) {
      const from = ['--from-repo', other.access.repository, '--from-password-file', keyPath(app)];
      await must(
        'Copying between repositories',
        restic(['copy', ...from, ...snapshots], { timeout: 6 * 3600, env: other.access.environment }),
      );
    },
    async put(folder, prefix) {
      const names = await readdir(folder);
      if (names.length === 0) return;
      await must('Putting objects', rclone(['copy', '--immutable', '--no-traverse', folder, remote(prefix)]));
      const there = new Set((await store.list(prefix)).map(({ name }) => name));
      const missing = names.find((name) => !there.has(`${prefix}/${name}`));
      if (missing !== undefined) {
        throw new DeployError('repository-failed', `${missing} is not in the repository though it was put there.`, {
          hint: HINT,
        });
      }
    },
    async list(prefix) {
      const output = await rclone([
        'lsjson',
        '--recursive',
        '--files-only',
        '--no-modtime',
        '--no-mimetype',
        remote(prefix),
      ]);
      // 3: there is no such folder (rclone's documentation, "List of exit codes").
      if (output.exitCode === 3) return [];
      if (output.exitCode !== 0) throw refuse('Listing objects', output);
      const found = JSON.parse(output.stdout) as readonly { readonly Path: string; readonly Size: number }[];
      return found.map(({ Path, Size }) => ({ name: `${prefix}/${Path}`, size: Size }));
    },
    async fetch(names, folder) {
      if (names.length === 0) return;
      await mkdir(folder, { recursive: true, mode: 0o700 });
      for (const prefix of new Set(names.map((name) => name.slice(0, name.lastIndexOf('/'))))) {
        const members = names.filter((name) => name.slice(0, name.lastIndexOf('/')) === prefix);
        const list = members.map((name) => name.slice(prefix.length + 1)).join('\n');
        await must(
          'Fetching objects',
          rclone(['copy', '--files-from', '-', remote(prefix), folder], { input: `${list}\n`, timeout: 6 * 3600 }),
        );
      }
      const there = new Set(await readdir(folder));
      const missing = names.find((name) => !there.has(name.slice(name.lastIndexOf('/') + 1)));
      if (missing === undefined) return;
      throw new DeployError('repository-failed', `The repository has no ${missing}.`, { hint: HINT });
    },
  };
  return store;
}

/** All repositories of an app, the one that is written first at the front. */
export function openStores(host: Host, settings: BackupSettings): Promise<readonly Store[]> {
  return Promise.all(settings.repositories.map((repository) => openStore(host, settings, repository)));
}

/** The repository of a name; `no-backups` where the app has none. */
export function storeNamed(stores: readonly Store[], name: RepositoryName): Store {
  const found = stores.find((store) => store.name === name);
  if (found !== undefined) return found;
  throw new DeployError('no-backups', `There is no ${name} repository.`, {
    hint: name === 'offsite' ? 'Add `backups.repository` to the inventory.' : 'Take `--from offsite`.',
  });
}

/** The folder of objects that a job may use before they are put. */
export function spoolFolder(folder: string, store: Store): string {
  return join(folder, 'spool', store.name);
}
