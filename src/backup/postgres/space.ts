import { statfs } from 'node:fs/promises';

/** What a file system has, in bytes. */
export interface Space {
  readonly free: number;
  readonly total: number;
}

/** Of a file system's space, what our own writes leave free at least, and what must be free before they go on. */
const LEAST = { stop: 0.1, resume: 0.12 };

/** The space of the file system that a folder is on, as it is to those who are not root. */
export async function readSpace(folder: string): Promise<Space> {
  const { bavail, blocks, bsize } = await statfs(folder);
  return { free: bavail * bsize, total: blocks * bsize };
}

/** Whether we may write: once we had to stop, only when there is some more again. */
export function mayWrite({ free, total }: Space, stopped: boolean): boolean {
  return free >= total * (stopped ? LEAST.resume : LEAST.stop);
}
