import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { DeployError } from '#core/errors';
import { interrupted, late, type Progress } from '#ssh/breakage';
import type { ConnectOptions } from '#ssh/connection';
import { type Deadline, startDeadline } from '#ssh/deadline';
import type { Login } from '#ssh/login';
import { dial, type Route, routeTo } from '#ssh/route';

/** A host we are inside of, and how to leave it and every host on the way. */
export interface Entry {
  readonly login: Login;
  /** The address that was connected to; undefined where the way leads through another host. */
  readonly peer: string | undefined;
  leave(): Promise<void>;
}

const DEADLINE = 15;
const MOST_JUMPS = 8;

/** Goes to a host, through others where its configuration says so, and logs in; each host's key must be pinned. */
export async function enter(route: Route, options: ConnectOptions): Promise<Entry> {
  return enterFrom(await through(route, options, 0), route, options);
}

/** Goes to a host's door and does something there that ends by itself. */
export async function meet<T>(
  route: Route,
  options: ConnectOptions,
  act: (socket: Duplex, deadline: Deadline) => Promise<T>,
): Promise<T> {
  const hop = await through(route, options, 0);
  const deadline = connectDeadline(route, options, { shaken: false, ready: false });
  try {
    return await act(await reach(route, hop, deadline.signal), deadline);
  } finally {
    deadline.clear();
    await hop?.leave();
  }
}

async function enterFrom(hop: Entry | undefined, route: Route, options: ConnectOptions): Promise<Entry> {
  const attempt = async (pipelined: boolean) => {
    const progress = { shaken: false, ready: false };
    const deadline = connectDeadline(route, options, progress);
    const socket = reach(route, hop, deadline.signal);
    socket.catch(() => undefined);
    try {
      // Loading the SSH client takes no longer than the first packets are on their way.
      const { logIn, offer } = await import('#ssh/login');
      const offered = offer(route, options, deadline);
      offered.catch(() => undefined);
      const stream = await socket;
      const login = await logIn(route, stream, { ...options, offered, deadline, progress, pipelined });
      return { login, peer: stream instanceof Socket ? stream.remoteAddress : undefined };
    } finally {
      deadline.clear();
    }
  };
  try {
    const { login, peer } = await attempt(true).catch((error: unknown) => {
      // A host that does not bear what came at once gets it in turns.
      if (error instanceof DeployError && error.code === 'connection-lost') return attempt(false);
      throw error;
    });
    return {
      login,
      peer,
      leave: async () => {
        await login.end();
        await hop?.leave();
      },
    };
  } catch (error) {
    await hop?.leave();
    throw error;
  }
}

async function through(route: Route, options: ConnectOptions, depth: number): Promise<Entry | undefined> {
  if (depth + route.jumps.length > MOST_JUMPS) {
    throw new DeployError('ssh-config-invalid', `the way to ${route.place} leads through over ${MOST_JUMPS} hosts`, {
      hint: 'Look for a ProxyJump that leads back to itself in ~/.ssh/config.',
      host: route.name,
    });
  }
  let hop: Entry | undefined;
  for (const [index, target] of route.jumps.entries()) {
    const next = routeTo(target, options);
    // Only the nearest hop is reached by what its own block says; the list itself says the rest.
    if (index === 0) hop = await through(next, options, depth + 1);
    hop = await enterFrom(hop, next, { ...options, ahead: undefined });
  }
  return hop;
}

function reach(route: Route, hop: Entry | undefined, signal: AbortSignal): Promise<Duplex> {
  return hop === undefined ? dial(route, signal) : hop.login.forward(route.address, route.port, signal);
}

function connectDeadline(route: Route, options: ConnectOptions, progress: Progress): Deadline {
  const seconds = options.deadline ?? DEADLINE;
  const expired = () =>
    progress.shaken
      ? late(route, 'the login', seconds)
      : new DeployError('host-unreachable', `${route.place} did not answer within ${seconds} s`, {
          hint: 'Check the address and port in the inventory, and that the host is up and its firewall lets you in.',
          host: route.name,
        });
  return startDeadline(seconds, options.signal, expired, interrupted);
}
