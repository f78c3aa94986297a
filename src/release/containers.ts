import { setTimeout as sleep } from 'node:timers/promises';
import type { Host } from '#resources/resource';

/** A container as the Docker Engine API lists it; only what is asked for here. */
export interface Container {
  readonly Id: string;
  readonly Names: readonly string[];
  readonly State: string;
  readonly Status: string;
  readonly Labels: Readonly<Record<string, string>>;
}

/** The containers of one Compose project, running or not; empty where no engine answers. */
export async function containersOf(host: Host, project: string): Promise<readonly Container[]> {
  const filters = encodeURIComponent(JSON.stringify({ label: [`com.docker.compose.project=${project}`] }));
  return (await host.docker<Container[]>(`/containers/json?all=true&filters=${filters}`)) ?? [];
}

/** A container's name as a person knows it. */
export function nameOf(container: Container): string {
  return (container.Names[0] ?? container.Id.slice(0, 12)).replace(/^\//, '');
}

/** Lines of a container's log that are looked at, and how many of them are shown. */
const LOG = { read: 300, shown: 12 };

/**
 * The last lines a container said, for the explanation of why it is not serving. Lines about the health path are our own
 * questions, and shown only where it said nothing else.
 */
export async function lastWords(host: Host, container: string, healthPath?: string): Promise<string> {
  const output = await host.run(['docker', 'logs', '--tail', String(LOG.read), container]);
  const lines = `${output.stdout}${output.stderr}`.trim().split('\n');
  const others = healthPath === undefined ? lines : lines.filter((line) => !line.includes(healthPath));
  return (others.length === 0 ? lines : others).slice(-LOG.shown).join('\n');
}

// proc(5): column 3 is the remote address, column 4 the state, 01 = ESTABLISHED.
function connectionsTo(table: string, addresses: ReadonlySet<string>): number {
  return table
    .split('\n')
    .slice(1)
    .map((row) => row.trim().split(/\s+/))
    .filter((columns) => columns[3] === '01' && addresses.has((columns[2] ?? '').split(':')[0] ?? '')).length;
}

function asKernelWrites(address: string): string {
  return address
    .split('.')
    .map((part) => Number(part).toString(16).padStart(2, '0').toUpperCase())
    .reverse()
    .join('');
}

/**
 * Waits until the proxy holds no connection to any of the addresses, or the limit in seconds is over. Resolves with how
 * many are left.
 */
export async function drained(host: Host, addresses: readonly string[], limit: number): Promise<number> {
  const wanted = new Set(addresses.map(asKernelWrites));
  const deadline = performance.now() + limit * 1000;
  for (;;) {
    const left = connectionsTo((await host.readFile('/proc/net/tcp')) ?? '', wanted);
    if (left === 0 || performance.now() >= deadline) return left;
    await sleep(100);
  }
}
