import { existsSync } from 'node:fs';
import { mkdir, open, readFile, statfs, truncate } from 'node:fs/promises';
import { must } from './must.ts';
import { hostFolder, hostTree } from './places.ts';

/** The file, inside a host, that takes up its disk. */
export const BALLAST = '/var/log/ballast';

// Without the ballast, room enough for a whole bring-up.
const SIZE = 3 * 1024 ** 3;

function imageOf(name: string): string {
  return `${hostFolder(name)}/disk.ext4`;
}

async function isMounted(tree: string): Promise<boolean> {
  const mounts = await readFile('/proc/self/mounts', 'utf8');
  return mounts.split('\n').some((line) => line.split(' ')[1] === tree);
}

/** Gives a host a disk of its own, mounted where its tree goes. */
export async function makeDisk(name: string): Promise<void> {
  const image = imageOf(name);
  await (await open(image, 'w', 0o600)).close();
  await truncate(image, SIZE);
  await must(['mkfs.ext4', '-q', '-m', '0', image], 'make a file system');
  await mkdir(hostTree(name), { recursive: true });
  await mountDisk(name);
}

/** Mounts the disk of a host that has one of its own and is not mounted, as after a reboot of this machine. */
export async function mountDisk(name: string): Promise<void> {
  const [image, tree] = [imageOf(name), hostTree(name)];
  if (existsSync(image) && !(await isMounted(tree))) await must(['mount', '-o', 'loop', image, tree], 'mount a disk');
}

/** Fills a host's disk until only so many bytes are left. */
export async function fillDisk(name: string, bytesLeft: number): Promise<void> {
  const tree = hostTree(name);
  const { bavail, bsize } = await statfs(tree);
  const size = Math.max(0, bavail * bsize - bytesLeft);
  await must(['fallocate', '--length', `${size}`, `${tree}${BALLAST}`], 'fill a disk');
}

/** Unmounts a host's disk where it has one. */
export async function unmountDisk(name: string): Promise<void> {
  const tree = hostTree(name);
  if (await isMounted(tree)) await must(['umount', tree], 'unmount a disk');
}
