import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { pipeline as pump } from 'node:stream/promises';
import { DeployError } from '#core/errors';
import { fewAtOnce } from '#core/few-at-once';
import { pipeline } from '#core/pipeline';
import { syncFolder } from '#release/durable';

/** A sealed file's name: what was sealed, and the hash of the sealed bytes. */
const SEALED = /^(?<plain>.+)\.(?<digest>[0-9a-f]{16})\.zst\.age$/;

/** How many are sealed or opened at once. */
const AT_ONCE = 2;

/** Seconds for one file. */
const LIMIT = 3600;

/** In what way a stored copy is not as it was written. */
export type Fault = 'absent' | 'changed' | 'undecryptable';

/** A stored copy that cannot be used: which, and in what way. */
export class BrokenCopy extends DeployError {
  readonly object: string;
  readonly fault: Fault;

  constructor(object: string, fault: Fault, message: string) {
    super('copy-broken', message, {
      hint: 'Take a new backup at once with `deploy backup now <environment>`, and find out what happened to it.',
    });
    this.object = object;
    this.fault = fault;
  }
}

/** What a sealed file's name says; undefined where it is no name of a sealed file. */
export function nameOfSealed(file: string): { readonly plain: string; readonly digest: string } | undefined {
  const { plain, digest } = SEALED.exec(basename(file))?.groups ?? {};
  return plain === undefined || digest === undefined ? undefined : { plain, digest };
}

async function digestOf(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pump(createReadStream(file), hash);
  return hash.digest('hex').slice(0, 16);
}

async function sealOne(recipient: string, file: string, folder: string, name: string): Promise<string> {
  const draft = join(folder, `.${name}.part`);
  try {
    const programs = [
      ['zstd', '--quiet', '--stdout'],
      ['age', '--recipient', recipient],
    ];
    const { ok, why } = await pipeline(programs, { input: file, output: draft, timeout: LIMIT });
    if (!ok) {
      throw new DeployError('backup-failed', `${name} could not be encrypted:\n${why}`, {
        hint: 'Mend what its last lines name; it is tried again with the next run.',
      });
    }
    const sealed = join(folder, `${name}.${await digestOf(draft)}.zst.age`);
    await rename(draft, sealed);
    return sealed;
  } finally {
    await rm(draft, { force: true });
  }
}

/**
 * Seals files into a folder, each compressed and encrypted to a recipient (`recipientOf`), and resolves with the paths
 * of the sealed ones, synced to disk. What stands there under such a name is whole; drafts begin with a dot.
 */
export async function seal(recipient: string, files: readonly string[], folder: string): Promise<readonly string[]> {
  if (files.length === 0) return [];
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const sealed = await fewAtOnce(AT_ONCE, files, (file) => sealOne(recipient, file, folder, basename(file)));
  await syncFolder(folder);
  return sealed;
}

async function openOne(key: string, file: string, folder: string): Promise<string> {
  const object = basename(file);
  const named = nameOfSealed(object);
  if (named === undefined) throw new BrokenCopy(object, 'changed', `${object} is no name of a sealed object.`);
  const { plain, digest } = named;
  const found = await digestOf(file).catch((error: Error) => {
    throw new BrokenCopy(object, 'absent', `${object} cannot be read: ${error.message}`);
  });
  if (found !== digest) {
    throw new BrokenCopy(object, 'changed', `${object} is not as it was written: its hash is ${found}.`);
  }
  const draft = join(folder, `.${plain}.part`);
  try {
    const programs = [
      ['age', '--decrypt', '--identity', key],
      ['zstd', '--quiet', '--decompress', '--stdout'],
    ];
    const { ok, why, parts } = await pipeline(programs, { input: file, output: draft, timeout: LIMIT });
    // Whoever was killed has judged nothing.
    if (parts.some(({ signal }) => signal !== null && signal !== 'SIGPIPE')) {
      throw new DeployError('command-failed', `${object} was not opened to its end:\n${why}`, {
        hint: 'See whether the host has run out of memory (`journalctl --dmesg`), and try again.',
      });
    }
    if (!ok) throw new BrokenCopy(object, 'undecryptable', `${object} cannot be opened with the key:\n${why}`);
    await rename(draft, join(folder, plain));
    return join(folder, plain);
  } finally {
    await rm(draft, { force: true });
  }
}

/**
 * Opens sealed files with the key at a path (`keyPath`) into a folder, each under the name it had before, and resolves
 * with their paths. Rejects with a `BrokenCopy` that names the first one that is absent, is not as it was written, or
 * does not open with the key.
 */
export async function unseal(key: string, files: readonly string[], folder: string): Promise<readonly string[]> {
  if (files.length === 0) return [];
  await mkdir(folder, { recursive: true, mode: 0o700 });
  return fewAtOnce(AT_ONCE, files, (file) => openOne(key, file, folder));
}
