import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { type FileHandle, mkdir, open, rm, stat } from 'node:fs/promises';
import { DeployError } from '#core/errors';
import { CACHE } from './places.ts';

// flock(1) given a descriptor number locks the open file itself, which this process shares with it and keeps
// afterwards: the lock ends with the descriptor, hence at the latest with this process.
async function flock(handle: FileHandle): Promise<void> {
  const child = spawn('flock', ['--exclusive', '3'], { stdio: ['ignore', 'ignore', 'ignore', handle.fd] });
  const [code] = await once(child, 'exit');
  if (code !== 0) {
    throw new DeployError('sandbox-failed', 'The sandbox could not take its lock.', {
      hint: `Check that ${CACHE} is on a local file system.`,
    });
  }
}

async function acquire(path: string): Promise<FileHandle> {
  for (;;) {
    await mkdir(CACHE, { recursive: true, mode: 0o755 });
    const handle = await open(path, 'a', 0o600);
    await flock(handle);
    // The one before removed the file on leaving: a lock on what nobody else can open is none.
    const [mine, there] = await Promise.all([handle.stat(), stat(path).catch(() => undefined)]);
    if (mine.ino === there?.ino) return handle;
    await handle.close();
  }
}

/** Does `work` while no other process or caller on this machine does work under the same name. */
export async function locked<T>(name: string, work: () => Promise<T>): Promise<T> {
  const path = `${CACHE}/${name}.lock`;
  const handle = await acquire(path);
  try {
    return await work();
  } finally {
    await rm(path, { force: true });
    await handle.close();
  }
}
