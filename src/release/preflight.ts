import { statfs } from 'node:fs/promises';
import { DeployError } from '#core/errors';
import { formatBytes } from '#core/units';
import type { Host } from '#resources/resource';
import { containersOf } from './containers.ts';

/** Bytes that have to be free where images and containers lie: a container's own layer, its log, and some air. */
export const DISK = 256 * 1024 ** 2;

/** Where Docker keeps what it has, or will. */
const PLACES = ['/var/lib/docker', '/var/lib', '/'];

interface Stats {
  readonly memory_stats?: { readonly usage?: number; readonly stats?: Readonly<Record<string, number>> };
}

/** What is available, from /proc/meminfo: free, or given back at once, and swap. */
export function availableMemory(meminfo: string): number {
  const kibibytes = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(meminfo)?.[1] ?? 0);
  return (kibibytes('MemAvailable') + kibibytes('SwapFree')) * 1024;
}

/** What a container uses and would not give back: without the files that the kernel merely remembers. */
export function usedMemory({ memory_stats }: Stats): number {
  const { usage = 0, stats = {} } = memory_stats ?? {};
  return Math.max(0, usage - (stats['inactive_file'] ?? stats['total_inactive_file'] ?? 0));
}

async function memoryOf(host: Host, project: string): Promise<number> {
  const running = (await containersOf(host, project)).filter(({ State }) => State === 'running');
  const stats = await Promise.all(
    running.map(({ Id }) => host.docker<Stats>(`/containers/${Id}/stats?stream=false&one-shot=true`)),
  );
  return stats.reduce((sum, one) => sum + (one === undefined ? 0 : usedMemory(one)), 0);
}

/** Bytes that are free where images lie. */
export async function freeDisk(): Promise<number> {
  for (const place of PLACES) {
    const found = await statfs(place).catch(() => undefined);
    if (found !== undefined) return found.bavail * found.bsize;
  }
  return Number.POSITIVE_INFINITY;
}

/**
 * Sees whether a second copy of the app fits beside the one that serves, before anything is touched. `live` is the
 * Compose project that serves, `freed` that of the slot which is emptied first.
 */
export async function preflight(host: Host, live: string | undefined, freed: string): Promise<void> {
  const [disk, meminfo, copy, given] = await Promise.all([
    freeDisk(),
    host.readFile('/proc/meminfo'),
    live === undefined ? 0 : memoryOf(host, live),
    memoryOf(host, freed),
  ]);
  if (disk < DISK) {
    throw new DeployError(
      'disk-full',
      `Only ${formatBytes(disk)} are free for images and containers; a release needs ${formatBytes(DISK)}.`,
      {
        hint: 'Traffic was not touched. Make room: `df -h` and `docker system df` on the host show what is there.',
      },
    );
  }
  const available = availableMemory(meminfo ?? '') + given;
  if (meminfo !== undefined && available < copy) {
    throw new DeployError(
      'release-rejected',
      `Two copies of the app do not fit: the one that serves uses ${formatBytes(copy)}, and ${formatBytes(available)} are available.`,
      { hint: 'Traffic was not touched. Add swap (`harden.swap`), take a larger host, or lower `deploy.replicas`.' },
    );
  }
}
