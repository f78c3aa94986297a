import { createHash } from 'node:crypto';
import { type FileHandle, open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** The SHA-256 of files by their path below a folder, as they came to lie there. */
export type Digests = ReadonlyMap<string, string>;

/** Looks on while files are written one after the other. */
export interface Follower {
  /** The next one is begun, so that those before it are whole. */
  see(path: string): void;
  /** All are whole. Resolves with what each of them has become. */
  end(): Promise<Digests>;
}

/** Bytes that are read at once. */
const CHUNK = 1 << 20;
/** Milliseconds until a file that is being written is read on. */
const PAUSE = 5;
/** Bytes of a file after which what there is of it is sent to disk. Each of many small ones would wait for the disk by itself. */
const SYNC = 32 << 20;

/** What a program has not made yet is not there. */
async function opened(path: string, isWhole: () => boolean): Promise<FileHandle | undefined> {
  for (;;) {
    const last = isWhole();
    const file = await open(path, 'r').catch(() => undefined);
    if (file !== undefined || last) return file;
    await sleep(PAUSE);
  }
}

async function digestOf(path: string, buffer: Buffer, isWhole: () => boolean): Promise<string | undefined> {
  const hash = createHash('sha256');
  const file = await opened(path, isWhole);
  if (file === undefined) return undefined;
  let unsynced = 0;
  let syncing: Promise<void> | undefined;
  try {
    for (;;) {
      // Asked before it is read: what is read afterwards to its end is all of it.
      const last = isWhole();
      const { bytesRead } = await file.read(buffer, 0, buffer.length, null);
      if (bytesRead > 0) {
        hash.update(buffer.subarray(0, bytesRead));
        unsynced += bytesRead;
        // The server that is started on it waits until all is on disk; most of it is there by then.
        if (unsynced < SYNC || syncing !== undefined) continue;
        unsynced = 0;
        syncing = file.datasync().finally(() => {
          syncing = undefined;
        });
        syncing.catch(() => undefined);
      } else if (last) return hash.digest('hex');
      else await sleep(PAUSE);
    }
  } finally {
    await syncing?.catch(() => undefined);
    await file.close();
  }
}

/** Hashes files of a folder while somebody writes them, so that they need not be read once more. */
export function follow(folder: string): Follower {
  const paths: string[] = [];
  const digests = new Map<string, string>();
  const buffer = Buffer.alloc(CHUNK);
  let isEnded = false;
  let next = 0;
  const work = async (): Promise<void> => {
    for (; next < paths.length; next += 1) {
      const index = next;
      const path = paths[index] ?? '';
      const isWhole = () => isEnded || paths.length > index + 1;
      // What cannot be read has no hash, and is looked at again by whoever misses it.
      const digest = await digestOf(join(folder, path), buffer, isWhole).catch(() => undefined);
      if (digest !== undefined) digests.set(path, digest);
    }
  };
  let working: Promise<void> = Promise.resolve();
  return {
    see(path) {
      if (path.endsWith('/')) return;
      paths.push(path);
      if (paths.length - next === 1) working = working.then(work);
    },
    async end() {
      isEnded = true;
      await working;
      return digests;
    },
  };
}

/** Files as the manifest of a base names them (PostgreSQL's documentation, "Backup Manifest Files"). */
interface Manifest {
  readonly Files: readonly {
    readonly Path?: string;
    readonly 'Checksum-Algorithm'?: string;
    readonly Checksum?: string;
  }[];
}

/** Whether every file that a base's own manifest names has the hash that it says; of what cannot be told, it has not. */
export async function isAsItSays(folder: string, digests: Digests): Promise<boolean> {
  try {
    const { Files } = JSON.parse(await readFile(join(folder, 'backup_manifest'), 'utf8')) as Manifest;
    return Files.every(
      ({ Path = '', 'Checksum-Algorithm': algorithm, Checksum }) =>
        algorithm === 'SHA256' && Checksum !== undefined && digests.get(Path) === Checksum,
    );
  } catch {
    return false;
  }
}
