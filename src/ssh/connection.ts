import type { Readable } from 'node:stream';
import type { ClientChannel } from 'ssh2';
import { DeployError } from '#core/errors';
import { interrupted, late } from '#ssh/breakage';
import { startDeadline, unlessAborted } from '#ssh/deadline';
import { type HostKey, type KnownKey, knownKeys as keysOf, pin as pinKey } from '#ssh/known-hosts';
import { type Route, routeTo, type Target } from '#ssh/route';
import { collect, killChannel, type Output, type Session, sessionOver } from '#ssh/session';
import { slots } from '#ssh/slots';
import { type UploadOptions, upload } from '#ssh/upload';
import { type Entry, enter, meet } from '#ssh/way';

export type { HostKey, KnownKey } from '#ssh/known-hosts';
export type { Target } from '#ssh/route';
export type { Output, Session } from '#ssh/session';
export type { UploadOptions } from '#ssh/upload';

export interface ConnectOptions {
  /** known_hosts files, the project's own first; the first that knows the host decides. */
  readonly knownHosts: readonly string[];
  /** Seconds for the whole connect, 15 by default; the time a person takes to answer does not count. */
  readonly deadline?: number | undefined;
  /** Asks a person what the host asks; used only where the host takes it and every key was refused. */
  readonly password?: ((question: string) => Promise<string>) | undefined;
  /** Asks a person for a key file's passphrase; used only where the host would take that key. */
  readonly passphrase?: ((file: string) => Promise<string>) | undefined;
  /** `~/.ssh/config` by default. */
  readonly configFile?: string | undefined;
  /** The agent's socket; `IdentityAgent` or SSH_AUTH_SOCK by default. */
  readonly agent?: string | false | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Seconds of silence after which the host is asked for a sign of life, 15 by default; after three it counts as lost. */
  readonly keepAlive?: number | undefined;
  /** The first command that will be run: it is asked for together with the login, which saves two round trips. */
  readonly ahead?: string | undefined;
}

export interface ExecOptions {
  readonly input?: string | Buffer | Readable | undefined;
  /** Seconds, 60 by default. */
  readonly timeout?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Bytes that each of stdout and stderr may hold, 16 MB by default. */
  readonly maxOutput?: number | undefined;
}

/** A host we are logged in to. */
export interface Connection extends AsyncDisposable {
  readonly target: Target;
  readonly user: string;
  /** As resolved: what `~/.ssh/config` makes of the target's address. */
  readonly address: string;
  readonly port: number;
  /** The IP address that was connected to; undefined where the way leads through another host. */
  readonly peer: string | undefined;
  /** What of `~/.ssh/config` was passed over. */
  readonly warnings: readonly string[];
  /** Runs a command in the user's shell and resolves with whatever exit code it had. */
  exec(command: string, options?: ExecOptions): Promise<Output>;
  /** Starts a command and talks with it. */
  open(command: string, options?: { readonly signal?: AbortSignal | undefined }): Promise<Session>;
  /** Writes a file under a temporary name and moves it into place when all of it has arrived. */
  upload(source: string | Buffer | Readable, path: string, options?: UploadOptions): Promise<void>;
  close(): Promise<void>;
}

const EXEC_DEADLINE = 60;
const MAX_OUTPUT = 16 * 1024 * 1024;
// sshd_config(5): MaxSessions is 10 by default, and a person may be logged in over the same connection's hop.
const MOST_CHANNELS = 8;
// How often a command is asked for again, at growing distances, after the host has refused a session: 0.6 s in all.
const PATIENCE = 5;

interface Taken {
  readonly channel: ClientChannel;
  readonly free: () => void;
}

/** Logs in to a host whose key is pinned; everything that may go wrong is a DeployError with a next step. */
export async function connect(target: Target, options: ConnectOptions): Promise<Connection> {
  const route = routeTo(target, options);
  return connectionOver(target, route, await enter(route, options));
}

function connectionOver(target: Target, route: Route, { login, peer, leave }: Entry): Connection {
  const line = slots(MOST_CHANNELS);
  const { carrier } = login;

  let ran = false;
  async function channelFor(command: string, signal: AbortSignal, refusals = 0): Promise<Taken> {
    const free = await line.take(signal);
    try {
      const lost = carrier.lost();
      if (lost !== undefined) throw lost;
      const channel = await unlessAborted(login.exec(command, signal), signal);
      ran = true;
      return { channel, free };
    } catch (error) {
      const others = line.taken > 1;
      const full = error instanceof DeployError && error.code === 'session-refused';
      // A host with a smaller MaxSessions: from now on as many as it bears.
      if (full && others) line.shrink();
      free();
      // The host may be slower to forget a session that has ended than we are.
      if (!full || !(others || (ran && refusals < PATIENCE))) throw error;
      if (!others) await new Promise((resolve) => setTimeout(resolve, 20 * 2 ** refusals));
      return channelFor(command, signal, others ? refusals : refusals + 1);
    }
  }

  async function exec(command: string, options: ExecOptions = {}): Promise<Output> {
    const seconds = options.timeout ?? EXEC_DEADLINE;
    const deadline = startDeadline(seconds, options.signal, () => late(route, 'a command', seconds), interrupted);
    let taken: Taken | undefined;
    try {
      taken = await channelFor(command, deadline.signal);
      const maxOutput = options.maxOutput ?? MAX_OUTPUT;
      const output = collect(taken.channel, carrier, { input: options.input, maxOutput });
      output.catch(() => undefined);
      return await unlessAborted(output, deadline.signal);
    } catch (error) {
      if (taken !== undefined) killChannel(taken.channel);
      throw error;
    } finally {
      taken?.free();
      deadline.clear();
    }
  }

  async function open(command: string, options: { signal?: AbortSignal | undefined } = {}): Promise<Session> {
    const deadline = startDeadline(
      EXEC_DEADLINE,
      options.signal,
      () => late(route, 'a command', EXEC_DEADLINE),
      interrupted,
    );
    try {
      const { channel, free } = await channelFor(command, deadline.signal);
      const session = sessionOver(channel, carrier);
      session.closed.then(free, free);
      const kill = () => session.kill();
      options.signal?.addEventListener('abort', kill, { once: true });
      session.closed.catch(() => undefined).finally(() => options.signal?.removeEventListener('abort', kill));
      return session;
    } finally {
      deadline.clear();
    }
  }

  return {
    target,
    user: route.user,
    address: route.address,
    port: route.port,
    peer,
    warnings: route.warnings,
    exec,
    open,
    upload: (source, path, more) => upload(exec, route.name, source, path, more),
    close: leave,
    [Symbol.asyncDispose]: leave,
  };
}

/** The keys that these files hold for a host. */
export function knownKeys(target: Target, options: Pick<ConnectOptions, 'knownHosts' | 'configFile'>): KnownKey[] {
  const route = routeTo(target, options);
  return keysOf(options.knownHosts, route.keyName, route.keyPort);
}

/** Trusts a host's key from now on: a line in a known_hosts file. To be called on a person's explicit word only. */
export function pin(
  file: string,
  target: Target,
  key: HostKey,
  options: Pick<ConnectOptions, 'configFile'> = {},
): void {
  const route = routeTo(target, options);
  pinKey(file, route.keyName, route.keyPort, key);
}

/**
 * The key that a host presents, proven to be held by it. This says nothing about who the host is: it is what a person
 * compares with what the provider shows, before `pin`.
 */
export async function fetchHostKey(target: Target, options: ConnectOptions): Promise<HostKey> {
  const route = routeTo(target, options);
  return meet(route, options, async (socket, deadline) => {
    const { presentedKey } = await import('#ssh/login');
    return presentedKey(route, socket, deadline);
  });
}
