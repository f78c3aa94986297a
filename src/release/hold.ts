import { mkdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Host } from '#resources/resource';
import { replaceText, syncFolder } from './durable.ts';
import { flagsOf } from './flags.ts';
import type { Slot } from './slots.ts';

/** One way of nginx's into a service, and where a replica answers in each slot. */
export interface Held {
  /** What nginx knows it by, without a slot. */
  readonly upstream: string;
  /** `172.29.0.2:3000`. */
  readonly addresses: Readonly<Record<Slot, string>>;
}

/** Connections that wait at most; nginx's own limit on connections is usually the smaller. */
const BACKLOG = 4096;

/** Where an upstream's requests wait; nginx is told the same. */
export function socketOf(upstream: string): string {
  return `/run/slipway/hold/${upstream}.sock`;
}

const unitsOf = (upstream: string): string => `slipway-hold-${upstream}-*.socket`;

// systemd listens and nobody accepts: nginx's requests lie in the socket. The first of them starts this, which waits
// until they may go on and then passes all of them to the slot that serves by then. It needs nothing of ours to be alive.
function waiter(app: string, { blue, green }: Held['addresses']): readonly string[] {
  const script =
    'while [ -e "$1/held" ]; do sleep 0.05; done; [ ! -e "$1/green" ] || set -- "$1" "$2" "$4"; exec /usr/lib/systemd/systemd-socket-proxyd "$2" --exit-idle-time=10s "$3"';
  return ['sh', '-c', script, 'hold', flagsOf(app), `--connections-max=${BACKLOG}`, blue, green];
}

const heldFlag = (app: string): string => join(flagsOf(app), 'held');

/** Since when requests to an app are held, in milliseconds since 1970; undefined where they are not. */
export async function heldSince(app: string): Promise<number | undefined> {
  return stat(heldFlag(app)).then(
    ({ mtimeMs }) => mtimeMs,
    () => undefined,
  );
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
  await endHold(
    host,
    held.map(({ upstream }) => upstream),
  );
  const unique = Date.now().toString(36);
  for (const { upstream, addresses } of held) {
    const socket = {
      ListenStream: socketOf(upstream),
      Backlog: BACKLOG,
      SocketUser: 'www-data',
      SocketMode: '0600',
      RemoveOnStop: 'yes',
    };
    await host.must([
      ...['systemd-run', '--quiet', '--collect', `--unit=slipway-hold-${upstream}-${unique}`],
      `--description=Where requests to ${app} wait`,
      ...Object.entries(socket).map(([key, value]) => `--socket-property=${key}=${value}`),
      // Six descriptors for each connection that waited.
      ...['--property=LimitNOFILE=65536', '--', ...waiter(app, addresses)],
    ]);
  }
  await mkdir(flagsOf(app), { recursive: true, mode: 0o755 });
  await replaceText(heldFlag(app), '', 0o644);
}

/**
 * Lets go on what was held; new requests go to the live slot again. The sockets stay: a request whose body was still on
 * its way when the hold began finds its slot gone, and is passed on there.
 */
export async function releaseRequests(app: string): Promise<void> {
  await rm(heldFlag(app), { force: true });
  await syncFolder(flagsOf(app)).catch(() => undefined);
}

/** Takes away the sockets of an earlier hold, where there are any. What came through them goes on to its end. */
export async function endHold(host: Pick<Host, 'run'>, upstreams: readonly string[]): Promise<void> {
  if (upstreams.length > 0) await host.run(['systemctl', 'stop', ...upstreams.map(unitsOf)]);
}
