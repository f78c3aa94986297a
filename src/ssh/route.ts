import { connect as connectSocket, type Socket } from 'node:net';
import { userInfo } from 'node:os';
import { DeployError } from '#core/errors';
import { settingsFor } from '#ssh/config';

/** A host as the inventory names it. */
export interface Target {
  /** As in the inventory, or user@host. */
  readonly name: string;
  /** A host name, an IPv4 or IPv6 address, or an alias of `~/.ssh/config`. */
  readonly address: string;
  readonly user?: string | undefined;
  readonly port?: number | undefined;
  /** The port under which its keys were pinned, where sshd has moved since. */
  readonly keyPort?: number | undefined;
  readonly identityFile?: string | undefined;
  readonly family?: 4 | 6 | undefined;
  /** An address of it to go to instead; its key and all else stay those of `address`. */
  readonly via?: string | undefined;
}

/** The way to a host: what the inventory and `~/.ssh/config` say together. */
export interface Route {
  readonly name: string;
  readonly address: string;
  readonly port: number;
  readonly user: string;
  readonly family: 4 | 6 | undefined;
  /** The name under which its key is kept. */
  readonly keyName: string;
  /** The port under which its key is kept. */
  readonly keyPort: number;
  readonly identityFiles: readonly string[] | undefined;
  readonly identitiesOnly: boolean;
  readonly agent: string | false;
  /** Hosts to go through, the nearest first. */
  readonly jumps: readonly Target[];
  /** Name and address for messages. */
  readonly place: string;
  readonly warnings: readonly string[];
}

export interface RouteOptions {
  readonly configFile?: string | undefined;
  readonly agent?: string | false | undefined;
}

/** Finds the way to a host; what the inventory says wins over the configuration. */
export function routeTo(target: Target, options: RouteOptions): Route {
  const alias = target.address.replace(/^\[(.*)\]$/, '$1');
  const settings = settingsFor(alias, {
    ...(options.configFile === undefined ? {} : { file: options.configFile }),
    ...(target.user === undefined ? {} : { user: target.user }),
    ...(target.port === undefined ? {} : { port: target.port }),
  });
  const address = target.via ?? settings.hostName;
  const port = settings.port ?? 22;
  const shown = address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
  return {
    name: target.name,
    address,
    port,
    user: settings.user ?? userInfo().username,
    family: target.family,
    keyName: settings.hostKeyAlias ?? settings.hostName,
    keyPort: target.keyPort ?? port,
    identityFiles: target.identityFile === undefined ? settings.identityFiles : [target.identityFile],
    identitiesOnly: target.identityFile !== undefined || settings.identitiesOnly,
    agent: options.agent ?? settings.identityAgent ?? agentSocket(),
    jumps: settings.jumps.map(jumpTarget),
    place: target.name === address ? shown : `${target.name} (${shown})`,
    warnings: settings.warnings,
  };
}

// Set to nothing is a way to be without an agent.
function agentSocket(): string | false {
  const { SSH_AUTH_SOCK: socket } = process.env;
  return socket === undefined || socket === '' ? false : socket;
}

function jumpTarget(jump: string): Target {
  const match = /^(?:ssh:\/\/)?(?:([^@]+)@)?(?:\[([^\]]+)\]|([^:]+))(?::(\d+))?$/.exec(jump);
  const address = match?.[2] ?? match?.[3];
  if (address === undefined) {
    throw new DeployError('ssh-config-invalid', `"${jump}" is no host to jump through`, {
      hint: 'Write ProxyJump as [user@]host[:port], several with commas between them.',
    });
  }
  const port = match?.[4];
  return { name: jump, address, user: match?.[1], port: port === undefined ? undefined : Number(port) };
}

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'refuses the connection: nothing listens on the port, or a firewall rejects it',
  ETIMEDOUT: 'does not answer',
  EHOSTUNREACH: 'cannot be reached: there is no route to it, or it is off',
  ENETUNREACH: 'cannot be reached: there is no route to its network from here',
  ENOTFOUND: 'has a name that DNS does not know',
  EAI_AGAIN: 'has a name that cannot be looked up: no name server answers here',
  ECONNRESET: 'closed the connection before it said anything',
};

/** The error of a host that cannot be reached, from what the operating system says. */
export function unreachable(route: Pick<Route, 'name' | 'place'>, cause: unknown): DeployError {
  const errors = cause instanceof AggregateError ? cause.errors : [cause];
  const first = errors[0] as NodeJS.ErrnoException;
  const reason = REASONS[first.code ?? ''] ?? `cannot be reached: ${first.message}`;
  return new DeployError('host-unreachable', `${route.place} ${reason}`, {
    hint: 'Check the address and port in the inventory, and that the host is up and its firewall lets you in.',
    host: route.name,
    cause,
  });
}

/** Opens a TCP connection for SSH: small packets leave at once, a dead peer is noticed. */
export function dial(route: Route, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const { address: host, port } = route;
    const socket = connectSocket({ host, port, family: route.family ?? 0, noDelay: true, keepAlive: true });
    const abort = () => {
      socket.destroy();
      reject(signal.reason as Error);
    };
    const fail = (error: Error) => {
      signal.removeEventListener('abort', abort);
      reject(unreachable(route, error));
    };
    if (signal.aborted) return abort();
    signal.addEventListener('abort', abort, { once: true });
    socket.once('error', fail);
    socket.once('connect', () => {
      signal.removeEventListener('abort', abort);
      socket.removeListener('error', fail);
      // Until the SSH client listens for itself; an error then comes as the end of the connection.
      socket.on('error', () => undefined);
      resolve(socket);
    });
  });
}
