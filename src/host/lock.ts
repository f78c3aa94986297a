import { mkdir, open } from 'node:fs/promises';
import { join } from 'node:path';
import { DeployError } from '#core/errors';
import { flock, lockFile } from '#core/file-lock';
import { formatSeconds } from '#core/units';
import { readTextIfThere } from './files.ts';
import { PATHS } from './paths.ts';

const LOCK = join(PATHS.run, 'operation.lock');
const HOLDER = join(PATHS.run, 'operation.json');

export interface Holder {
  readonly operation: string;
  readonly verb: string;
  readonly by: string;
  readonly since: string;
  readonly pid: number;
}

/** Waits for a lock that is only ever held for as long as a file is written. */
export async function takeTurn(path: string): Promise<AsyncDisposable> {
  await mkdir(PATHS.run, { recursive: true, mode: 0o755 });
  const handle = await open(join(PATHS.run, path), 'a', 0o600);
  await flock(handle.fd, '--exclusive', '--timeout', '10');
  return { [Symbol.asyncDispose]: () => handle.close() };
}

/** Who is at work on this host; undefined where nobody is. */
export async function lockHolder(): Promise<Holder | undefined> {
  const text = await readTextIfThere(HOLDER);
  if (text === undefined) return undefined;
  const handle = await open(LOCK, 'a').catch(() => undefined);
  if (handle === undefined) return undefined;
  try {
    return (await flock(handle.fd, '--shared', '--nonblock')) ? undefined : (JSON.parse(text) as Holder);
  } finally {
    await handle.close();
  }
}

function workedFor(since: string | undefined): string {
  return formatSeconds(since === undefined ? 0 : Math.max(0, (Date.now() - Date.parse(since)) / 1000));
}

/**
 * Takes the host's one operation lock, or rejects with `locked` naming who holds it. The lock is held by an open file
 * of this process, so that it cannot outlive it.
 */
export async function takeLock(holder: Omit<Holder, 'pid' | 'since'>): Promise<AsyncDisposable> {
  await mkdir(PATHS.run, { recursive: true, mode: 0o755 });
  const handle = await open(LOCK, 'a', 0o600);
  if (!(await flock(handle.fd, '--exclusive', '--nonblock'))) {
    await handle.close();
    const other = JSON.parse((await readTextIfThere(HOLDER)) ?? '{}') as Partial<Holder>;
    throw new DeployError(
      'locked',
      `\`deploy ${other.verb ?? '?'}\` by ${other.by ?? 'somebody'} has been at work on this host for ${workedFor(other.since)}.`,
      { hint: `Follow it with \`deploy attach\`, or run the same command again when it has ended.` },
    );
  }
  const note = await open(HOLDER, 'w', 0o600);
  await note.writeFile(JSON.stringify({ ...holder, since: new Date().toISOString(), pid: process.pid }));
  await note.close();
  return { [Symbol.asyncDispose]: () => handle.close() };
}

/**
 * Takes a lock of a name, which dies with this process; rejects with `locked` where another process has it. Such locks
 * are for work that the operation's lock does not order: several of different names go on side by side.
 */
export async function takeNamedLock(name: string, what = name): Promise<AsyncDisposable> {
  await mkdir(PATHS.run, { recursive: true, mode: 0o755 });
  const lock = await lockFile(join(PATHS.run, `${name}.lock`));
  if (lock !== undefined) return lock;
  throw new DeployError('locked', `${what} is at work already.`, {
    hint: 'Wait for it to end; `deploy backup status <environment>` tells what it came to.',
  });
}

/** Whether somebody has the lock of a name. */
export async function isLocked(name: string): Promise<boolean> {
  const handle = await open(join(PATHS.run, `${name}.lock`), 'r').catch(() => undefined);
  if (handle === undefined) return false;
  try {
    return !(await flock(handle.fd, '--shared', '--nonblock'));
  } finally {
    await handle.close();
  }
}
