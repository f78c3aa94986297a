import type { Readable } from 'node:stream';
import type { ClientChannel } from 'ssh2';
import { DeployError } from '#core/errors';

/** How a command on the host ended. */
export interface Exit {
  /** null where a signal ended it, or the host did not say. */
  readonly code: number | null;
  readonly signal?: string;
}

/** A command that runs on the host while both sides talk. */
export interface Session {
  /** What it prints, line by line; throws where the connection breaks. To be iterated once; holds back the host if it is not. */
  lines(): AsyncIterable<string>;
  /** The same byte for byte, instead of `lines`. */
  bytes(): AsyncIterable<Buffer>;
  /** Writes to its standard input; resolves when the text is on its way. */
  write(text: string | Buffer): Promise<void>;
  /** Ends its standard input. */
  end(): void;
  /** The last 8 kB of what it printed to standard error. */
  readonly stderr: string;
  /** Resolves when it has ended; rejects where the connection breaks. */
  readonly closed: Promise<Exit>;
  /** Kills the command, as far as the host allows, and gives up the session. */
  kill(): void;
}

export interface Output {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CollectOptions {
  readonly input?: string | Buffer | Readable | undefined;
  /** Bytes that each of stdout and stderr may hold. */
  readonly maxOutput: number;
}

/** What a channel needs to know about the connection that carries it. */
export interface Carrier {
  readonly host: string;
  /** Why the connection is gone; undefined while it stands. */
  lost(): DeployError | undefined;
  /** Rejects when the connection is gone; never resolves. */
  readonly loss: Promise<never>;
}

const KEPT_STDERR = 8 * 1024;
const AHEAD = 1024 * 1024;
// A message of ours is one line; one this long is none of ours.
const LONGEST_LINE = 64 * 1024 * 1024;

const exits = new WeakMap<ClientChannel, Exit>();

/** Listens to a channel from its first moment: it may have told its exit before anybody asks, or break while idle. */
export function watch(channel: ClientChannel): void {
  channel.on('exit', (code: number | null, signal?: string) => {
    exits.set(channel, { code, ...(signal === undefined ? {} : { signal }) });
  });
  // An event nobody listens to would end the process.
  channel.on('error', () => undefined);
  channel.stderr.on('error', () => undefined);
}

/** The end of a channel: its exit, once all it printed has been read. */
function ended(channel: ClientChannel, carrier: Carrier): Promise<Exit> {
  const exit = new Promise<Exit>((resolve, reject) => {
    const errors = new Promise<void>((done) => channel.stderr.once('end', done).once('close', done));
    channel.once('close', () => {
      const lost = carrier.lost();
      if (lost === undefined) void errors.then(() => resolve(exits.get(channel) ?? { code: null }));
      else reject(lost);
    });
    carrier.loss.catch(reject);
  });
  exit.catch(() => undefined);
  return exit;
}

// ssh2 itself signals only while the command's input is open.
interface Signaller {
  readonly _client?: { readonly _protocol?: { signal?(channel: number, name: string): void } };
  readonly outgoing?: { readonly id: number; readonly state: string };
}

/** Kills what runs in a channel, as far as the host allows (OpenSSH 7.9 and newer, not for root), and closes it. */
export function killChannel(channel: ClientChannel): void {
  try {
    const { _client: client, outgoing } = channel as unknown as Signaller;
    if (outgoing?.state === 'eof') client?._protocol?.signal?.(outgoing.id, 'KILL');
    else channel.signal('KILL');
    channel.close();
  } catch {
    // The connection is gone, and the channel with it.
  }
}

/** Feeds a command, collects what it prints, and waits for its end. */
export async function collect(channel: ClientChannel, carrier: Carrier, options: CollectOptions): Promise<Output> {
  const exit = ended(channel, carrier);
  const stdout = gather(channel, options.maxOutput);
  const stderr = gather(channel.stderr as Readable, options.maxOutput);
  const fed = feed(channel, options.input);
  const result = await Promise.race([exit, stdout.overflow, stderr.overflow, fed.then(() => exit)]).catch((error) => {
    if (error !== OVERFLOW) throw error;
    throw new DeployError(
      'remote-output-too-large',
      `a command on ${carrier.host} printed more than ${options.maxOutput} bytes`,
      { hint: 'Run it on the host itself and look at its output there.', host: carrier.host },
    );
  });
  if (result.code === null) throw killed(carrier.host, result.signal, stderr.text().trimEnd());
  return { code: result.code, stdout: stdout.text(), stderr: stderr.text() };
}

const OVERFLOW = new Error('too much output');

function gather(stream: Readable, most: number): { text: () => string; overflow: Promise<never> } {
  const chunks: Buffer[] = [];
  let bytes = 0;
  const overflow = new Promise<never>((_, reject) => {
    stream.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > most) reject(OVERFLOW);
      else chunks.push(chunk);
    });
  });
  overflow.catch(() => undefined);
  // Decoded once, at the end: a character may be split over two packets.
  return { text: () => Buffer.concat(chunks).toString('utf8'), overflow };
}

/** Resolves never or when the input is sent; rejects where the input itself breaks. */
function feed(channel: ClientChannel, input: string | Buffer | Readable | undefined): Promise<void> {
  if (input === undefined || typeof input === 'string' || Buffer.isBuffer(input)) {
    channel.end(input ?? '');
    return Promise.resolve();
  }
  return new Promise((resolve, reject) => {
    input.once('error', reject);
    input.once('end', resolve);
    input.pipe(channel);
  });
}

function killed(host: string, signal: string | undefined, said: string): DeployError {
  const how = signal === undefined ? 'ended without telling how' : `was ended by ${signal}`;
  const last = said === '' ? '' : `: ${said.split('\n').slice(-3).join('\n')}`;
  return new DeployError('remote-command-killed', `a command on ${host} ${how}${last}`, {
    hint: "Run the same command again; if it happens again, look into the host's kernel log: journalctl -k -n 50",
    host,
  });
}

/** A session over a channel whose command is running. */
export function sessionOver(channel: ClientChannel, carrier: Carrier): Session {
  const closed = ended(channel, carrier);
  const pending = new Set<(error: Error) => void>();
  const settle = (error: Error) => {
    for (const reject of pending) reject(error);
    pending.clear();
  };
  const over = () => carrier.lost() ?? killed(carrier.host, undefined, stderr);
  closed.then(() => settle(over()), settle);
  let stderr = '';
  let errors = Buffer.alloc(0);
  channel.stderr.on('data', (chunk: Buffer) => {
    errors = Buffer.concat([errors, chunk]).subarray(-KEPT_STDERR);
    stderr = errors.toString('utf8');
  });
  const chunks = chunksOf(channel);
  return {
    lines: () => linesOf(chunks, carrier),
    bytes: () => chunks,
    write: (text) =>
      new Promise((resolve, reject) => {
        // ssh2 never calls back for what is written to a channel that has gone.
        if (!channel.writable || carrier.lost() !== undefined) return reject(over());
        pending.add(reject);
        channel.write(text, (error) => {
          pending.delete(reject);
          if (error) reject(error);
          else resolve();
        });
      }),
    end: () => channel.end(),
    get stderr() {
      return stderr;
    },
    closed,
    kill: () => killChannel(channel),
  };
}

/** A channel's output, read from the start and held back where nobody takes it. */
function chunksOf(channel: ClientChannel): AsyncIterableIterator<Buffer> {
  const queue: Buffer[] = [];
  let held = 0;
  let ended = false;
  let wake: () => void = () => undefined;
  channel.on('data', (chunk: Buffer) => {
    queue.push(chunk);
    held += chunk.length;
    if (held > AHEAD) channel.pause();
    wake();
  });
  const finish = () => {
    ended = true;
    wake();
  };
  channel.once('end', finish);
  channel.once('close', finish);
  async function* read(): AsyncGenerator<Buffer> {
    for (;;) {
      const chunk = queue.shift();
      if (chunk !== undefined) {
        held -= chunk.length;
        if (held <= AHEAD) channel.resume();
        yield chunk;
      } else if (ended) return;
      else {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    }
  }
  return read();
}

// Cut at the newline's byte, which UTF-8 uses for nothing else, so no character is ever split.
async function* linesOf(chunks: AsyncIterable<Buffer>, carrier: Carrier): AsyncGenerator<string> {
  let parts: Buffer[] = [];
  let length = 0;
  for await (const chunk of chunks) {
    let from = 0;
    for (let at = chunk.indexOf(10); at !== -1; at = chunk.indexOf(10, from)) {
      parts.push(chunk.subarray(from, at));
      from = at + 1;
      const line = Buffer.concat(parts).toString('utf8');
      parts = [];
      length = 0;
      yield line;
    }
    if (from < chunk.length) parts.push(chunk.subarray(from));
    length += chunk.length - from;
    if (length > LONGEST_LINE) {
      throw new DeployError('remote-output-too-large', `${carrier.host} sent a line of over ${LONGEST_LINE} bytes`, {
        hint: 'Run the same command again with --json, and report its output: this is a defect.',
        host: carrier.host,
      });
    }
  }
  const lost = carrier.lost();
  if (lost !== undefined) throw lost;
  if (parts.length > 0) yield Buffer.concat(parts).toString('utf8');
}
