import { spawn } from 'node:child_process';
import { open } from 'node:fs/promises';

/** Locks an open file as flock(1) does with these flags; resolves with whether it was got. */
// flock(1) on an inherited descriptor locks our own open file: the lock is this process's and dies with it.
export function flock(descriptor: number, ...flags: readonly string[]): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const child = spawn('flock', [...flags, '3'], { stdio: ['ignore', 'ignore', 'ignore', descriptor] });
    child.once('error', reject);
    child.once('exit', (code) => resolve(code === 0));
  });
}

/** Takes the lock that a file is, which dies with this process; undefined where another one has it for so many seconds. */
export async function lockFile(path: string, patience = 0): Promise<AsyncDisposable | undefined> {
  const handle = await open(path, 'a', 0o600);
  const flags = patience === 0 ? ['--nonblock'] : ['--timeout', String(patience)];
  if (await flock(handle.fd, '--exclusive', ...flags)) return { [Symbol.asyncDispose]: () => handle.close() };
  await handle.close();
  return undefined;
}
