import { statfs } from 'node:fs/promises';
import { DeployError } from '#core/errors';
import { formatBytes } from '#core/units';

/** Rejects where a folder's file system has less room than something takes; a tenth of it stays free for others. */
export async function needRoom(folder: string, bytes: number, what: string): Promise<void> {
  const { bavail, blocks, bsize } = await statfs(folder);
  const free = Math.max(0, bavail - blocks * 0.1) * bsize;
  if (free >= bytes) return;
  throw new DeployError(
    'backup-failed',
    `${what} takes ${formatBytes(bytes)} in ${folder}, where ${formatBytes(free)} can be used.`,
    { hint: 'Make room on the host, or a larger disk.' },
  );
}
