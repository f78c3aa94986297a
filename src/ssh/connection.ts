import { createReadStream, statSync } from 'node:fs';
import type { Duplex } from 'node:stream';
import { Readable } from 'node:stream';
import type { ClientChannel } from 'ssh2';
import { DeployError } from '#core/errors';
import { quote } from '#core/quote';
import { type Deadline, startDeadline, unlessAborted } from '#ssh/deadline';
import { type HostKey, type KnownKey, knownKeys as keysOf, pin as pinKey } from '#ssh/known-hosts';
import type { Login, Progress } from '#ssh/login';
import { dial, type Route, routeTo, type Target } from '#ssh/route';
import { collect, killChannel, type Output, type Session, sessionOver } from '#ssh/session';
import { slots } from '#ssh/slots';

export type { HostKey, KnownKey } from '#ssh/known-hosts';
export type { Target } from '#ssh/route';
export type { Exit, Output, Session } from '#ssh/session';

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

export interface UploadOptions {
  /** 0o644 by default. */
  readonly mode?: number | undefined;
  /** Called with the bytes sent so far. */
  readonly onProgress?: ((bytes: number) => void) | undefined;
  /** Seconds, 600 by default. */
  readonly timeout?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A host we are logged in to. */
export interface Connection extends AsyncDisposable {
  readonly target: Target;
  readonly user: string;
  /** As resolved: what `~/.ssh/config` makes of the target's address. */
  readonly address: string;
  readonly port: number;
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

const CONNECT_DEADLINE = 15;
const EXEC_DEADLINE = 60;
const UPLOAD_DEADLINE = 600;
const MAX_OUTPUT = 16 * 1024 * 1024;
// sshd_config(5): MaxSessions is 10 by default, and a person may be logged in over the same connection's hop.
const MOST_CHANNELS = 8;
const MOST_JUMPS = 8;
// How often a command is asked for again, at growing distances, after the host has refused a session: 0.6 s in all.
const PATIENCE = 5;

interface Taken {
  readonly channel: ClientChannel;
  readonly free: () => void;
}

/** Logs in to a host whose key is pinned; everything that may go wrong is a DeployError with a next step. */
export async function connect(target: Target, options: ConnectOptions): Promise<Connection> {
  const route = routeTo(target, options);
  const hop = await through(route, options, 0);
  return connectOver(target, route, options, hop);
}

async function connectOver(
  target: Target,
  route: Route,
  options: ConnectOptions,
  hop: Hop | undefined,
): Promise<Connection> {
  const attempt = async (pipelined: boolean) => {
    const progress = { shaken: false, ready: false };
    const deadline = connectDeadline(route, options, progress);
    const socket = reach(route, hop, deadline.signal);
    socket.catch(() => undefined);
    try {
      // Loading the SSH client costs as long as the first packets are on their way.
      const { logIn, offer } = await import('#ssh/login');
      const offered = offer(route, options, deadline);
      offered.catch(() => undefined);
      return await logIn(route, await socket, { ...options, offered, deadline, progress, pipelined });
    } finally {
      deadline.clear();
    }
  };
  try {
    const login = await attempt(true).catch((error: unknown) => {
      // A host that does not bear what came at once gets it in turns.
      if (error instanceof DeployError && error.code === 'connection-lost') return attempt(false);
      throw error;
    });
    return connectionOver(target, route, login, hop);
  } catch (error) {
    await hop?.close();
    throw error;
  }
}

/** The way through other hosts, as one that the next connection can be opened through. */
interface Hop {
  reach(address: string, port: number, signal: AbortSignal): Promise<Duplex>;
  close(): Promise<void>;
}

async function through(route: Route, options: ConnectOptions, depth: number): Promise<Hop | undefined> {
  if (route.jumps.length === 0) return undefined;
  if (depth + route.jumps.length > MOST_JUMPS) {
    throw new DeployError(
      'ssh-config-invalid',
      `the way to ${route.place} goes through more than ${MOST_JUMPS} hosts`,
      {
        hint: 'Look for a ProxyJump that leads back to itself in ~/.ssh/config.',
        host: route.name,
      },
    );
  }
  let hop: Hop | undefined;
  for (const [index, target] of route.jumps.entries()) {
    const next = routeTo(target, options);
    // Only the nearest hop is reached by what its own block says; the list itself says the rest.
    if (index === 0) hop = await through(next, options, depth + 1);
    hop = hopOver(await connectOver(target, next, { ...options, ahead: undefined }, hop));
  }
  return hop;
}

const FORWARD = Symbol('forward');
type Forwarding = Connection & { [FORWARD]: (address: string, port: number, signal: AbortSignal) => Promise<Duplex> };

function hopOver(connection: Connection): Hop {
  const { [FORWARD]: reach } = connection as Forwarding;
  return { reach, close: () => connection.close() };
}

function reach(route: Route, hop: Hop | undefined, signal: AbortSignal): Promise<Duplex> {
  return hop === undefined ? dial(route, signal) : hop.reach(route.address, route.port, signal);
}

function connectDeadline(route: Route, options: ConnectOptions, progress: Progress): Deadline {
  const seconds = options.deadline ?? CONNECT_DEADLINE;
  const expired = () =>
    progress.shaken
      ? tooLong(route, 'the login', seconds)
      : new DeployError('host-unreachable', `${route.place} did not answer within ${seconds} s`, {
          hint: 'Check the address and port in the inventory, and that the host is up and its firewall lets you in.',
          host: route.name,
        });
  return startDeadline(seconds, options.signal, expired, interrupted);
}

function interrupted(): DeployError {
  return new DeployError('interrupted', 'interrupted', { hint: 'Run the same command again.' });
}

function connectionOver(target: Target, route: Route, login: Login, hop: Hop | undefined): Connection {
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
    const deadline = startDeadline(seconds, options.signal, () => tooLong(route, 'a command', seconds), interrupted);
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
      () => tooLong(route, 'a command', EXEC_DEADLINE),
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

  async function upload(source: string | Buffer | Readable, path: string, options: UploadOptions = {}): Promise<void> {
    const { input, size } = inputFrom(source, options.onProgress);
    const temporary = `${path}.${Date.now().toString(36)}${Math.random().toString(36).slice(2, 8)}.part`;
    const mode = (options.mode ?? 0o644).toString(8);
    const limits = { timeout: options.timeout ?? UPLOAD_DEADLINE, signal: options.signal };
    const write = `umask 077 && cat >"$1"`;
    // Where the connection breaks, \`cat\` sees the end of its input like any other: only a whole file is moved.
    const move = `test "$(stat -c %s "$1")" = "$4" && chmod "$3" "$1" && mv -fT "$1" "$2"`;
    const undo = `{ rm -f "$1"; exit 1; }`;
    const shell = (script: string, total: number) =>
      ['sh', '-c', quote(script), 'upload', quote(temporary), quote(path), mode, String(total)].join(' ');
    const run = async (script: string, total: number, stdin?: Readable) => {
      const { code, stderr } = await exec(shell(script, total), { ...limits, input: stdin });
      if (code === 0) return;
      throw new DeployError('upload-failed', `${path} could not be written on ${route.name}: ${stderr.trim()}`, {
        hint: `Check the free space and who may write to the folder: df -h and ls -ld of ${path} on the host.`,
        host: route.name,
      });
    };
    if (size !== undefined) return run(`${write} && ${move} || ${undo}`, size, input.stream);
    await run(`${write} || ${undo}`, 0, input.stream);
    await run(`${move} || ${undo}`, input.sent());
  }

  const connection: Forwarding = {
    target,
    user: route.user,
    address: route.address,
    port: route.port,
    warnings: route.warnings,
    exec,
    open,
    upload,
    close: async () => {
      await login.end();
      await hop?.close();
    },
    [Symbol.asyncDispose]: () => connection.close(),
    [FORWARD]: login.forward,
  };
  return connection;
}

function tooLong(route: Route, what: string, seconds: number): DeployError {
  return new DeployError('deadline-exceeded', `${what} on ${route.name} did not end within ${seconds} s`, {
    hint: 'See what keeps the host busy (top, iotop), then run the same command again.',
    host: route.name,
  });
}

interface Input {
  readonly stream: Readable;
  sent(): number;
}

function inputFrom(source: string | Buffer | Readable, onProgress: ((bytes: number) => void) | undefined) {
  const size = Buffer.isBuffer(source) ? source.length : typeof source === 'string' ? statSync(source).size : undefined;
  let bytes = 0;
  async function* counted() {
    for await (const chunk of streamOf(source)) {
      bytes += chunk.length;
      onProgress?.(bytes);
      yield chunk as Buffer;
    }
  }
  const input: Input = { stream: Readable.from(counted(), { objectMode: false }), sent: () => bytes };
  return { input, size };
}

const PIECE = 256 * 1024;

async function* streamOf(source: string | Buffer | Readable): AsyncGenerator<Buffer> {
  if (Buffer.isBuffer(source)) {
    for (let at = 0; at < source.length; at += PIECE) yield source.subarray(at, at + PIECE);
  } else {
    yield* typeof source === 'string' ? createReadStream(source, { highWaterMark: PIECE }) : source;
  }
}

/** The keys that these files hold for a host. */
export function knownKeys(target: Target, options: Pick<ConnectOptions, 'knownHosts' | 'configFile'>): KnownKey[] {
  const route = routeTo(target, options);
  return keysOf(options.knownHosts, route.keyName, route.port);
}

/** Trusts a host's key from now on: a line in a known_hosts file. To be called on a person's explicit word only. */
export function pin(
  file: string,
  target: Target,
  key: HostKey,
  options: Pick<ConnectOptions, 'configFile'> = {},
): void {
  const route = routeTo(target, options);
  pinKey(file, route.keyName, route.port, key);
}

/**
 * The key that a host presents, proven to be held by it. This says nothing about who the host is: it is what a person
 * compares with what the provider shows, before `pin`.
 */
export async function fetchHostKey(target: Target, options: ConnectOptions): Promise<HostKey> {
  const route = routeTo(target, options);
  const hop = await through(route, options, 0);
  const deadline = connectDeadline(route, options, { shaken: false, ready: false });
  try {
    const { presentedKey } = await import('#ssh/login');
    return await presentedKey(route, await reach(route, hop, deadline.signal), deadline);
  } finally {
    deadline.clear();
    await hop?.close();
  }
}
