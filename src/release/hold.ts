import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Host } from '#resources/resource';
import { replaceText } from './durable.ts';
import { flagsOf } from './flags.ts';

/** One way of nginx's into a service, and who answers there once requests are let on. */
export interface Held {
  /** What nginx knows it by, without a slot. */
  readonly upstream: string;
  /** Of the replica that serves afterwards: `172.29.0.2:3000`. */
  readonly address: string;
}

/** Connections that wait at most; nginx's own limit on connections is usually the smaller. */
const BACKLOG = 4096;

/** Where an upstream's requests wait; nginx is told the same. */
export function socketOf(upstream: string): string {
  return `/run/slipway/hold/${upstream}.sock`;
}

const unitOf = (upstream: string): string => `slipway-hold-${upstream}`;

// systemd listens and nobody accepts: nginx's requests lie in the socket. The first of them starts this, which waits
// until they may go on and then passes all of them to the new replica. It needs nothing of ours to be alive.
function waiter(flag: string, address: string): readonly string[] {
  const script = 'while [ -e "$1" ]; do sleep 0.05; done; exec /usr/lib/systemd/systemd-socket-proxyd "$2" "$3" "$4"';
  return ['sh', '-c', script, 'hold', flag, `--connections-max=${BACKLOG}`, '--exit-idle-time=10s', address];
}

/**
 * Makes nginx hold requests to an app from now on, in place of passing them to a slot: for what cannot run twice, while
 * the old is stopped and the new started. They wait at most as long as nginx waits for an answer, one minute, and then
 * get a 504. What is under way already goes on.
 */
export async function holdRequests(
  host: Pick<Host, 'run' | 'must'>,
  app: string,
  held: readonly Held[],
): Promise<void> {
  const flag = join(flagsOf(app), 'held');
  await endHold(host, held);
  for (const { upstream, address } of held) {
    const socket = {
      ListenStream: socketOf(upstream),
      Backlog: BACKLOG,
      SocketUser: 'www-data',
      SocketMode: '0600',
      RemoveOnStop: 'yes',
    };
    await host.must([
      ...['systemd-run', '--quiet', '--collect', `--unit=${unitOf(upstream)}`],
      ...Object.entries(socket).map(([key, value]) => `--socket-property=${key}=${value}`),
      // Six descriptors for each connection that waited.
      ...['--property=LimitNOFILE=65536', '--', ...waiter(flag, address)],
    ]);
  }
  await replaceText(flag, '', 0o644);
}

/** Lets go on what was held; new requests go to the live slot again. */
export async function releaseRequests(app: string): Promise<void> {
  await rm(join(flagsOf(app), 'held'), { force: true });
}

/** Takes away the sockets of an earlier hold, where there are any; what came through them has to have ended. */
export async function endHold(host: Pick<Host, 'run'>, held: readonly Held[]): Promise<void> {
  for (const { upstream } of held) {
    await host.run(['systemctl', 'stop', `${unitOf(upstream)}.socket`, `${unitOf(upstream)}.service`]);
  }
}
