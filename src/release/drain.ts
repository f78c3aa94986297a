import { setTimeout as sleep } from 'node:timers/promises';
import type { Host } from '#resources/resource';
import { connectionsTo } from './sockets.ts';

/** Milliseconds between two looks at the connections. */
const PAUSE = 100;

/** Seconds over which connections that stayed open to the end of their slot's time are closed, so that not all clients come back at once. */
const SPREAD = 10;

async function open(host: Host, addresses: readonly string[]) {
  return connectionsTo((await host.readFile('/proc/net/tcp')) ?? '', new Set(addresses));
}

/**
 * Waits until the proxy holds no connection to any of the addresses, or the limit in seconds is over. Resolves with how
 * many are left.
 */
export async function drained(host: Host, addresses: readonly string[], limit: number): Promise<number> {
  const deadline = performance.now() + limit * 1000;
  for (;;) {
    const left = (await open(host, addresses)).length;
    if (left === 0 || performance.now() >= deadline) return left;
    await sleep(PAUSE);
  }
}

/** Closes what is still open to the addresses (WebSockets, streams) one after the other, at most ten seconds in all. */
export async function closeStaggered(host: Host, addresses: readonly string[]): Promise<void> {
  const left = await open(host, addresses);
  const pause = (SPREAD * 1000) / Math.max(left.length, 20);
  for (const { local, remote } of left) {
    await host.run([
      'ss',
      '--kill',
      '--no-header',
      'state',
      'established',
      'src',
      `${local.address}:${local.port}`,
      'dst',
      remote.address,
    ]);
    await sleep(pause);
  }
}
