import { chmod, mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Output } from '#core/run';
import { must } from './must.ts';

/** Writes a file inside a root tree, its folders included; root's, 0644 unless said otherwise. */
export async function writeIn(tree: string, path: string, text: string, mode = 0o644): Promise<void> {
  const target = `${tree}${path}`;
  await mkdir(dirname(target), { recursive: true });
  // A fresh file each time: what lies there may be a link that points out of the tree.
  await rm(target, { force: true });
  await writeFile(target, text, { mode });
  await chmod(target, mode);
}

/** Runs a program inside a root tree that is not booted. */
export async function within(tree: string, argv: readonly string[], input?: string): Promise<Output> {
  return await must(['chroot', tree, ...argv], `run ${argv[0] ?? ''} in a tree`, {
    timeout: 600,
    env: { DEBIAN_FRONTEND: 'noninteractive', PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' },
    ...(input === undefined ? {} : { input }),
  });
}

/** Copies a tree into a folder; blocks are shared where the file system can (XFS, btrfs), else 1 s for a bare host. */
export async function copyTree(from: string, to: string): Promise<void> {
  await mkdir(to, { recursive: true });
  await must(['cp', '--archive', '--reflink=auto', `${from}/.`, to], `copy ${from}`, { timeout: 600 });
}

/** Removes a tree at once for everybody else, then for real. */
export async function removeTree(tree: string): Promise<void> {
  const gone = `${tree}.gone-${process.pid}`;
  const moved = await rename(tree, gone).then(
    () => true,
    () => false,
  );
  if (moved) await rm(gone, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
}
