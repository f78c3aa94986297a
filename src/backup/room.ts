import { statfs } from 'node:fs/promises';
import { DeployError } from '#core/errors';
import { formatBytes } from '#core/units';

/** What a file system has, in bytes, as it is to those who are not root. */
export interface Space {
  readonly free: number;
  readonly total: number;
}

/** The space of the file system that a folder is on; what is reserved for root is nobody's, as in `df`. */
export async function readSpace(folder: string): Promise<Space> {
  const { bavail, bfree, blocks, bsize } = await statfs(folder);
  return { free: bavail * bsize, total: (blocks - bfree + bavail) * bsize };
}

/** Of a file system's space, what our own writes leave free at least, and what must be free before they go on. */
const LEAST = { stop: 0.1, resume: 0.12 };

/** Whether we may write: once we had to stop, only when there is some more again. */
export function mayWrite({ free, total }: Space, stopped: boolean): boolean {
  return free >= total * (stopped ? LEAST.resume : LEAST.stop);
}

/** What has to be free for something: a multiple of its size, and what stays free of the file system besides. */
type Margin = (bytes: number, total: number) => number;

/** By what the room is for. */
const MARGINS = {
  /** Written by the database's own server, which has grown since it did so last. */
  save: (bytes) => bytes * 1.2,
  /** Taken by cron while production writes: a receiver that has to stop for want of room would be the worse loss. */
  copy: (bytes, total) => bytes * 1.1 + total * LEAST.stop,
  /** Wanted by somebody who has data to lose without it, and looks on. */
  restore: (bytes) => bytes * 1.2,
  /** On trial beside production, which nobody looks at meanwhile. */
  drill: (bytes) => bytes * 1.2 + 512 * 1024 ** 2,
} as const satisfies Record<string, Margin>;

/** Rejects with `disk-full` where a folder's file system has too little room for what is to take so many bytes of it. */
export async function needRoom(
  folder: string,
  purpose: keyof typeof MARGINS,
  what: string,
  bytes: number,
): Promise<void> {
  const { free, total } = await readSpace(folder);
  const wanted = MARGINS[purpose](bytes, total);
  if (free >= wanted) return;
  throw new DeployError(
    'disk-full',
    `${what} takes ${formatBytes(bytes)}; for that ${formatBytes(wanted)} must be free at ${folder}, and there are ${formatBytes(free)}.`,
    { hint: 'Make room on the host, or give it a larger disk, then run the same command again.' },
  );
}
