import type { Duplex } from 'node:stream';
import { NodeSSH } from 'node-ssh';
import type { Client, ClientChannel, ConnectConfig } from 'ssh2';
import { DeployError } from '#core/errors';
import { authentication } from '#ssh/authentication';
import { broken, closed, type Progress } from '#ssh/breakage';
import { askForCommand, forward } from '#ssh/channels';
import { type Deadline, unlessAborted } from '#ssh/deadline';
import { type Identity, identities } from '#ssh/identity';
import { type HostKey, hostKey, hostKeyOffer, knownKeys } from '#ssh/known-hosts';
import { type Pipeline, pipeline } from '#ssh/pipelining';
import type { Route } from '#ssh/route';
import type { Carrier } from '#ssh/session';
import { refusal } from '#ssh/trust';

export interface LoginOptions {
  readonly knownHosts: readonly string[];
  readonly offered: ReturnType<typeof identities>;
  readonly deadline: Deadline;
  readonly progress: Progress;
  readonly password?: ((question: string) => Promise<string>) | undefined;
  readonly keepAlive?: number | undefined;
  readonly ahead?: string | undefined;
  /** Whether what SSH allows to be sent at once is. */
  readonly pipelined: boolean;
}

/** A host that has let us in. */
export interface Login {
  readonly carrier: Carrier;
  /** Asks for a session and starts a command in it. */
  exec(command: string, signal: AbortSignal): Promise<ClientChannel>;
  /** A stream to an address as seen from the host. */
  forward(address: string, port: number, signal: AbortSignal): Promise<Duplex>;
  end(): Promise<void>;
}

// What ssh2 1.17 speaks of what OpenSSH and its hardening guides still offer; the NIST curves are for FIPS hosts.
const KEX = ['curve25519-sha256', 'curve25519-sha256@libssh.org', 'ecdh-sha2-nistp256', 'ecdh-sha2-nistp384'] as const;
const CIPHERS = [
  'aes128-gcm@openssh.com',
  'aes256-gcm@openssh.com',
  'chacha20-poly1305@openssh.com',
  'aes256-ctr',
] as const;
const MACS = ['hmac-sha2-256-etm@openssh.com', 'hmac-sha2-512-etm@openssh.com'] as const;
const KEEPALIVE = 15;
const BASICS = { readyTimeout: 0, keepaliveCountMax: 3 };
// How long the other end may take to read the last bytes when we leave.
const FAREWELL = 500;

/** The key that a host presents and has proven to hold; nobody is logged in. */
export async function presentedKey(route: Route, socket: Duplex, deadline: Deadline): Promise<HostKey> {
  let presented: HostKey | undefined;
  try {
    const client = start({
      ...BASICS,
      sock: socket as never,
      username: route.user,
      algorithms: algorithms(hostKeyOffer([])),
      hostVerifier: (blob: Buffer) => {
        presented = hostKey(blob);
        return true;
      },
      authHandler: () => undefined,
    } as never);
    const shaken = new Promise<void>((resolve, reject) => {
      client.once('handshake', () => resolve());
      client.once('error', (error) => reject(broken(route, { shaken: false, ready: false }, error)));
      client.once('close', () => reject(broken(route, { shaken: false, ready: false }, undefined)));
    });
    await unlessAborted(shaken, deadline.signal);
    await leave(client, socket);
  } finally {
    socket.destroy();
  }
  if (presented === undefined) throw broken(route, { shaken: false, ready: false }, undefined);
  return presented;
}

function algorithms(serverHostKey: readonly string[]): NonNullable<ConnectConfig['algorithms']> {
  return {
    kex: [...KEX],
    cipher: [...CIPHERS],
    hmac: [...MACS],
    compress: ['none'],
    serverHostKey: serverHostKey as never,
  };
}

/** Gets ready what may be offered to a host, while the first packets travel. */
export function offer(
  route: Route,
  options: { passphrase?: ((file: string) => Promise<string>) | undefined },
  deadline: Deadline,
): ReturnType<typeof identities> {
  return identities({
    files: route.identityFiles,
    named: route.identityFiles !== undefined,
    only: route.identitiesOnly,
    agent: route.agent,
    passphrase: paused(options.passphrase, deadline),
  });
}

/** Shakes hands over a stream, checks the host's key, and authenticates. */
export async function logIn(route: Route, socket: Duplex, options: LoginOptions): Promise<Login> {
  const known = knownKeys(options.knownHosts, route.keyName, route.keyPort);
  const { deadline, ahead, offered, progress: state } = options;
  let first: Identity | undefined;
  offered.then(
    ({ offered: all }) => {
      first = all[0];
    },
    () => undefined,
  );

  let lost: DeployError | undefined;
  let refused: DeployError | undefined;
  let gone: (error: DeployError) => void = () => undefined;
  const loss = new Promise<never>((_, reject) => {
    gone = reject;
  });
  loss.catch(() => undefined);
  const lose = (error: DeployError) => {
    lost ??= error;
    gone(lost);
  };
  const carrier: Carrier = { host: route.name, lost: () => lost, loss };
  const drop = (error: unknown) => {
    lose(error instanceof DeployError ? error : broken(route, state, error));
    socket.destroy();
  };

  let turns: Pipeline | undefined;
  let early: Promise<ClientChannel> | undefined;
  const login = authentication({
    host: route.name,
    user: route.user,
    address: route.address,
    identities: offered,
    ask: paused(options.password, deadline),
    offering: (identity, place) => {
      if (place === 0 && identity.ready) turns?.signAtOnce();
    },
    signed: () => {
      if (turns === undefined || ahead === undefined || early !== undefined) return;
      early = turns.ahead(ahead, () => askForCommand(client, route, carrier, ahead, deadline.signal));
      early?.catch(() => undefined);
    },
    fail: drop,
  });

  const config: ConnectConfig & { username: string } = {
    sock: socket as never,
    username: route.user,
    ...BASICS,
    keepaliveInterval: (options.keepAlive ?? KEEPALIVE) * 1000,
    algorithms: algorithms(hostKeyOffer(known)),
    hostVerifier: (blob: Buffer) => {
      refused = refusal(route, hostKey(blob), known);
      return refused === undefined;
    },
    authHandler: login.handler,
  };
  const client = start(config as never);
  client.on('error', (error: Error & { level?: string; code?: unknown }) => {
    // The agent could not sign; the next way in is tried.
    if (error.level === 'agent') return;
    if (refused !== undefined) return lose(refused);
    if (error.level === 'client-authentication') return lose(login.failure());
    if (typeof error.code === 'number' && state.shaken && !state.ready) return lose(login.failure(error.message));
    lose(broken(route, state, error));
  });
  client.on('handshake', () => {
    state.shaken = true;
  });
  const ended = () => lose(refused ?? broken(route, state, undefined));
  client.on('end', ended).on('close', ended);
  if (options.pipelined) {
    turns = pipeline(client, {
      waitForExtensions: () => first === undefined || first.publicKey.type === 'ssh-rsa',
      refused: (accepted, partly) => {
        login.refused(accepted, partly);
        turns?.takeBack();
        turns = undefined;
        early = undefined;
      },
    });
  }
  const ready = new Promise<void>((resolve) => client.once('ready', resolve));
  try {
    await unlessAborted(Promise.race([ready, loss]), deadline.signal);
    // A host that takes offence at what came early closes the connection; that is better known here than later.
    if (early !== undefined) await unlessAborted(Promise.race([early.catch(() => undefined), loss]), deadline.signal);
  } catch (error) {
    lose(error as DeployError);
    socket.destroy();
    throw error;
  }
  state.ready = true;
  return {
    carrier,
    exec: (command, signal) => {
      const asked = command === ahead ? early : undefined;
      early = undefined;
      return asked ?? askForCommand(client, route, carrier, command, signal);
    },
    forward: (address, port, signal) => forward(client, route, carrier, address, port, signal),
    end: () => {
      lose(closed(route));
      return leave(client, socket);
    },
  };
}

// node-ssh stops listening for errors once it is ready, and an error nobody listens to ends the process: this client's
// errors are listened to from its first moment to its last, and node-ssh's own promise is not used.
function start(config: ConnectConfig): Client {
  const ssh = new NodeSSH();
  ssh.connect(config as Parameters<NodeSSH['connect']>[0]).catch(() => undefined);
  const client = ssh.connection;
  if (client === null) throw new Error('node-ssh made no client');
  client.on('error', () => undefined);
  return client;
}

function paused<A extends unknown[]>(
  ask: ((...words: A) => Promise<string>) | undefined,
  deadline: Deadline,
): ((...words: A) => Promise<string>) | undefined {
  return ask && ((...words) => deadline.paused(() => ask(...words)));
}

/** Says goodbye and goes as soon as the words have left this machine. */
function leave(client: Client, socket: Duplex): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      socket.destroy();
      resolve();
    };
    const timer = setTimeout(done, FAREWELL);
    socket.once('finish', done).once('close', done);
    if (socket.destroyed || socket.writableFinished) return done();
    client.end();
  });
}
