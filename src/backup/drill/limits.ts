import { statfs } from 'node:fs/promises';
import { setPriority } from 'node:os';
import { DeployError } from '#core/errors';
import { formatBytes } from '#core/units';
import type { Host } from '#resources/resource';

/** What the engine can limit; only what is asked for here. */
interface Engine {
  readonly MemoryLimit?: boolean;
  readonly CpuCfsQuota?: boolean;
  readonly MemTotal?: number;
  readonly Warnings?: readonly string[] | null;
}

const MB = 1024 ** 2;

/** How much of the host's memory a drill's database may take, page cache included, so that production keeps its own. */
const MEMORY = { share: 0.25, least: 512 * MB, most: 4096 * MB };

/** How much more than the restored data is wanted, and what stays free whatever happens: bytes. */
const SPACE = { factor: 1.2, reserve: 512 * MB };

/** The limits that an engine can set, as `docker run` reads them: one processor, a share of memory, the last at the disk. */
export function limitsOf({ MemoryLimit, CpuCfsQuota, MemTotal = 0, Warnings }: Engine): readonly string[] {
  const memory = Math.min(Math.max(MemTotal * MEMORY.share, MEMORY.least), MEMORY.most);
  const hasWeight = !(Warnings ?? []).some((warning) => warning.includes('No io.weight support'));
  return [
    ...(CpuCfsQuota === true ? ['--cpus', '1'] : []),
    ...(MemoryLimit === true ? ['--memory', String(Math.round(memory))] : []),
    ...(hasWeight ? ['--blkio-weight', '10'] : []),
  ];
}

/** What a drill's containers are started with so that production does not feel it. */
export async function drillLimits(host: Host): Promise<readonly string[]> {
  return limitsOf((await host.docker<Engine>('/info')) ?? {});
}

/** Has this process and all it starts give way to everything else on the host. */
export async function giveWay(host: Host): Promise<void> {
  setPriority(10);
  await host.run(['ionice', '--class', 'best-effort', '--classdata', '7', '--pid', String(process.pid)]);
}

/** Bytes that are free where a folder lies, for whoever is not root. */
export async function freeAt(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder);
  return bavail * bsize;
}

/** Rejects with `disk-full` where restored data would not leave enough for production. */
export async function refuseWithoutSpace(folder: string, bytes: number): Promise<void> {
  const wanted = bytes * SPACE.factor + SPACE.reserve;
  const free = await freeAt(folder);
  if (free >= wanted) return;
  throw new DeployError(
    'disk-full',
    `Restoring takes ${formatBytes(bytes)}; for that ${formatBytes(wanted)} must be free at ${folder}, and there are ${formatBytes(free)}.`,
    { hint: 'Make room on the host, or give it a larger disk; nothing was restored.' },
  );
}
