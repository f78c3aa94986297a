import { setPriority } from 'node:os';
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
