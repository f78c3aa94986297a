import { existsSync } from 'node:fs';
import { mkdir, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { keyPath, SETTINGS } from '#backup/places';
import { BrokenCopy } from '#backup/seal';
import { DeployError } from '#core/errors';
import type { Output, RunOptions } from '#core/run';
import type { BackupSettings, Repository, RepositoryName } from '#protocol/backup';
import { replaceText } from '#release/durable';
import type { Host } from '#resources/resource';
import { byPrefix, type NewObject, type Objects, type StoredObject } from './objects.ts';
import { localObjects } from './objects-local.ts';
import { restObjects } from './objects-rest.ts';
import { s3Objects } from './objects-s3.ts';
import { sftpObjects } from './objects-sftp.ts';
import { foreignKey, NO_RIGHT, RESTIC_EXIT, refusalOf } from './refusal.ts';
import { below, placeOf, resticUrl, serverOf } from './repository.ts';
import { checkRestic, type Restic, resticOn } from './restic.ts';
import { type Login, loginTo } from './ssh.ts';

export type { StoredObject } from './objects.ts';

/** A snapshot of restic, as `restic snapshots --json` tells. */
export interface Snapshot {
  readonly id: string;
  /** ISO 8601. */
  readonly time: string;
  readonly tags: readonly string[];
  readonly paths: readonly string[];
  readonly summary?: { readonly total_bytes_processed: number; readonly data_added_packed: number };
}

/** What a backup into restic came to. */
export interface Written {
  readonly snapshot: string;
  readonly bytes: number;
  readonly added: number;
}

/** Whether there is a repository, and whose. */
export type Held = 'none' | 'ours' | 'foreign';

/** One repository, as the backups of one app on one host use it: snapshots by restic, and objects written once. */
export interface Store {
  readonly name: RepositoryName;
  /** What it is called, for a person. */
  readonly title: string;
  /** Runs restic on the repository and resolves whatever its exit code. */
  restic(args: readonly string[], options?: RunOptions): Promise<Output>;
  /** What restic is started with by whoever starts it otherwise: in a pipeline, with `environment`. */
  readonly direct: Omit<Restic, 'run'>;
  /** Whether there is a repository, and whether our key opens it; rejects where that cannot be told. */
  look(): Promise<Held>;
  /** Makes the repository where there is none, cutting data as `like` does; rejects where our key does not open it. */
  initialize(like?: Store): Promise<void>;
  /** The snapshots that have all these tags, oldest first. */
  snapshots(tags: readonly string[]): Promise<readonly Snapshot[]>;
  /** Copies snapshots of another store of the same app. */
  copyFrom(other: Store, snapshots: readonly string[]): Promise<void>;
  /**
   * Puts all files of a folder below a prefix, but those whose names begin with a dot. An object is never written over;
   * rejects unless every one of them is there with its size, so what it was given may be forgotten afterwards.
   */
  put(folder: string, prefix: string): Promise<void>;
  /** All objects below a prefix, by name; names begin with the prefix. */
  list(prefix: string): Promise<readonly StoredObject[]>;
  /** Brings objects into a folder, under the last part of their names; one that is absent rejects with `BrokenCopy`. */
  fetch(names: readonly string[], folder: string): Promise<void>;
  /** Removes objects. Resolves with what the repository says where it lets nobody delete: a choice, not a fault. */
  remove(names: readonly string[]): Promise<string | undefined>;
}

/** Seconds for a look whether a repository is there and ours. */
const LOOK = 90;

/** How restic is told to reach a repository. */
export interface Access {
  readonly options: readonly string[];
  /** A file with the authorities of its https; undefined for the system's. */
  readonly ca: string | undefined;
  readonly login: Login | undefined;
}

async function accessTo(host: Host, settings: BackupSettings, repository: Repository): Promise<Access> {
  const place = placeOf(repository.url);
  const login = place.type === 'sftp' ? await loginTo(host, settings, repository, place) : undefined;
  const ca = repository.ca === undefined ? undefined : join(SETTINGS, `${settings.app}.${repository.name}.ca.pem`);
  if (ca !== undefined && (await host.readFile(ca)) !== repository.ca) await replaceText(ca, repository.ca ?? '');
  const options = [
    ...(login === undefined ? [] : ['-o', `sftp.args=${login.options.join(' ')}`]),
    ...(ca === undefined ? [] : ['--cacert', ca]),
  ];
  return { options, ca, login };
}

async function filesIn(folder: string): Promise<readonly NewObject[]> {
  const names = (await readdir(folder)).filter((name) => !name.startsWith('.'));
  return Promise.all(names.map(async (name) => ({ name, size: (await stat(join(folder, name))).size })));
}

/** A repository of an app, ready to be used; `password` is the file with the key, the app's own unless told otherwise; in `cache` restic keeps what it has read. */
export async function openStore(
  host: Host,
  settings: BackupSettings,
  repository: Repository,
  password: string = keyPath(settings.app),
  cache?: string,
): Promise<Store> {
  const { host: name } = settings;
  const { credentials } = repository;
  const place = placeOf(repository.url);
  const { options, ca, login } = await accessTo(host, settings, repository);
  const title = serverOf(repository);
  const must = (what: string, output: Output): Output => {
    if (output.exitCode !== 0) throw refusalOf(what, output, repository, login);
    return output;
  };
  const resticAt = (folder: string): Restic => {
    const at = below(place, name, folder);
    return resticOn(host, {
      repository: resticUrl(at),
      place,
      password,
      name,
      options,
      credentials,
      ca: repository.ca,
      cache,
    });
  };
  const snapshotsOf = resticAt('restic');
  const { run: restic } = snapshotsOf;
  const objectsRestic = resticAt('objects');

  function objectsAt(): Objects {
    const at = below(place, name, 'objects');
    switch (at.type) {
      case 'local':
        return localObjects(at.path);
      case 's3':
        return s3Objects(at, repository, ca, must);
      case 'sftp':
        return sftpObjects(login as Login, at.path, must);
      case 'rest':
        return restObjects(async (what, args, runOptions) => must(what, await objectsRestic.run(args, runOptions)));
    }
  }
  const objects = objectsAt();

  async function lookAt(run: Restic['run']): Promise<Held> {
    // restic does not always repeat what ssh has said before it went.
    if (login !== undefined) {
      const greeting = await login.batch(['pwd'], LOOK);
      await login.noticeNewKey();
      must('Logging in to', greeting);
    }
    const output = await run(['cat', 'config', '--no-lock'], { timeout: LOOK });
    if (output.exitCode === 0) return 'ours';
    if (output.exitCode === RESTIC_EXIT.noRepository) return 'none';
    if (output.exitCode === RESTIC_EXIT.wrongKey) return 'foreign';
    throw refusalOf('Opening', output, repository, login);
  }
  async function make(run: Restic['run'], from: readonly string[], env: Readonly<Record<string, string>>) {
    const standing = await lookAt(run);
    if (standing === 'foreign') throw foreignKey(repository);
    if (standing === 'none') must('Making', await run(['init', ...from], { env }));
  }

  return {
    name: repository.name,
    title,
    restic,
    direct: snapshotsOf,
    look: () => lookAt(restic),
    async initialize(like) {
      const from = like === undefined ? [] : ['--copy-chunker-params', ...like.direct.options];
      await make(restic, from, like === undefined ? {} : fromOf(like));
      if (place.type === 'rest') await make(objectsRestic.run, [], {});
    },
    async snapshots(tags) {
      const filter = tags.length === 0 ? [] : ['--tag', tags.join(',')];
      const { stdout } = must(
        'Reading the snapshots of',
        await restic(['snapshots', '--json', '--no-lock', ...filter]),
      );
      const found = JSON.parse(stdout) as readonly (Omit<Snapshot, 'tags'> & { readonly tags?: readonly string[] })[];
      const snapshots = found.map((one): Snapshot => ({ ...one, tags: one.tags ?? [] }));
      return snapshots.sort((one, other) => (one.time < other.time ? -1 : 1));
    },
    async copyFrom(other, snapshots) {
      if (snapshots.length === 0) return;
      must(
        'Copying snapshots into',
        await restic(['copy', ...other.direct.options, ...snapshots], { timeout: 6 * 3600, env: fromOf(other) }),
      );
    },
    async put(folder, prefix) {
      const files = await filesIn(folder);
      if (files.length === 0) return;
      // Where its disk is not mounted there is a folder of that name all the same, and what was put there would count as kept.
      if (place.type === 'local' && !existsSync(join(place.path, name, 'restic', 'config'))) {
        throw new DeployError('repository-failed', `There is no repository in ${title}.`, {
          hint: 'Mount the disk that it lies on, or run `deploy up <environment>`, which makes it.',
        });
      }
      const there = new Map((await objects.put(folder, prefix, files)).map((object) => [object.name, object.size]));
      for (const { name: file, size } of files) {
        const found = there.get(`${prefix}/${file}`);
        if (found === size) continue;
        if (found !== undefined) {
          throw new BrokenCopy(`${prefix}/${file}`, 'changed', `${file} in ${title} has ${found} bytes, not ${size}.`);
        }
        throw new DeployError('repository-failed', `${file} is not in ${title} though it was put there.`, {
          hint: 'It is tried again with the next run; look at the server where that goes on.',
        });
      }
    },
    async list(prefix) {
      const found = [...(await objects.list(prefix))];
      return found.sort((one, other) => (one.name < other.name ? -1 : 1));
    },
    async fetch(names, folder) {
      await mkdir(folder, { recursive: true, mode: 0o700 });
      for (const [prefix, files] of byPrefix(names)) await objects.fetch(prefix, files, folder);
      const there = new Set(await readdir(folder));
      const missing = names.find((one) => !there.has(one.slice(one.lastIndexOf('/') + 1)));
      if (missing === undefined) return;
      throw new BrokenCopy(missing, 'absent', `There is no ${missing} in ${title}.`);
    },
    async remove(names) {
      try {
        for (const [prefix, files] of byPrefix(names)) await objects.remove(prefix, files);
        return undefined;
      } catch (error) {
        const why =
          error instanceof DeployError ? error.message.split('\n').find((line) => NO_RIGHT.test(line)) : undefined;
        if (why !== undefined) return `This host may not delete in ${title}: ${why.trim()}`;
        throw error;
      }
    },
  };
}

/** How restic is told of a second repository, with the credentials for it. */
function fromOf({ direct }: Store): Readonly<Record<string, string>> {
  const { RESTIC_REPOSITORY, RESTIC_PASSWORD_FILE, ...rest } = direct.environment;
  return {
    ...Object.fromEntries(
      Object.entries(rest).filter(([name]) => !name.startsWith('RESTIC_') || name.startsWith('RESTIC_REST_')),
    ),
    ...(RESTIC_REPOSITORY === undefined ? {} : { RESTIC_FROM_REPOSITORY: RESTIC_REPOSITORY }),
    ...(RESTIC_PASSWORD_FILE === undefined ? {} : { RESTIC_FROM_PASSWORD_FILE: RESTIC_PASSWORD_FILE }),
  };
}

/** All repositories of an app, the one that is written first at the front. */
export async function openStores(host: Host, settings: BackupSettings): Promise<readonly Store[]> {
  await checkRestic(host);
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
