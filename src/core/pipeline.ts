import { type ChildProcess, spawn } from 'node:child_process';
import { type FileHandle, open } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';

export interface PipelineOptions {
  /** A file that the first program reads; nothing by default. */
  readonly input?: string;
  /** A file that the last program writes, made anew, for its owner alone; by default its output is kept as text. */
  readonly output?: string;
  /** Added to the environment of this process. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Seconds after which all programs are killed. */
  readonly timeout: number;
  /** All programs are killed when it says so. */
  readonly signal?: AbortSignal;
  /** Told each line that the last program prints, as it comes; it is not kept then. */
  readonly hear?: (line: string) => void;
}

/** How one program of a pipeline has ended. */
export interface Part {
  readonly argv: readonly string[];
  /** null where a signal or the deadline ended it. */
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  /** The end of what it said. */
  readonly stderr: string;
}

export interface Piped {
  readonly parts: readonly Part[];
  /** What the last program has printed, where that went to no file. */
  readonly stdout: string;
  readonly timedOut: boolean;
  /** Whether every program has ended well: what only the last one says is not enough. */
  readonly ok: boolean;
  /** Why not, for a person: which programs failed, and their last lines. Empty where all is well. */
  readonly why: string;
}

/** What a program says whose reader is gone; between programs here there are sockets. */
const BROKEN_PIPE = /broken pipe|connection reset by peer/i;

/** Characters that are kept of what each program says. */
const KEPT = 4000;

async function keep(stream: Readable | null, most: number): Promise<string> {
  if (stream === null) return '';
  let text = '';
  stream.setEncoding('utf8');
  for await (const chunk of stream) text = (text + chunk).slice(-most);
  return text;
}

/** Hears a stream to its end, line by line. */
async function hearAll(stream: Readable, hear: (line: string) => void): Promise<string> {
  const lines = createInterface({ input: stream });
  lines.on('line', hear);
  await new Promise((resolve) => lines.once('close', resolve));
  return '';
}

/** Resolves when the program has ended; one that could not be started has said why. */
async function ending(child: ChildProcess, argv: readonly string[]): Promise<Part> {
  const said = keep(child.stderr, KEPT).catch(() => '');
  const ended = await new Promise<Part>((resolve) => {
    child.once('error', ({ message }) => resolve({ argv, exitCode: null, signal: null, stderr: message }));
    child.once('exit', (exitCode, signal) => resolve({ argv, exitCode, signal, stderr: '' }));
  });
  // A grandchild may hold its standard error open long after.
  const stderr = await Promise.race([said, sleep(1000, '', { ref: false })]);
  return ended.stderr === '' ? { ...ended, stderr } : ended;
}

function whyOf(parts: readonly Part[], timedOut: boolean, timeout: number): string {
  const failed = parts.filter(({ exitCode }) => exitCode !== 0);
  // Whoever writes to a program that has failed is ended by that; it is not the one to look at.
  const guilty = failed.filter(({ signal, stderr }) => signal !== 'SIGPIPE' && !BROKEN_PIPE.test(stderr));
  const all = (guilty.length === 0 ? failed : guilty).map(({ argv, exitCode, signal, stderr }) => {
    const how = timedOut ? `did not end within ${timeout} s` : `failed (${signal ?? `exit ${exitCode ?? 'unknown'}`})`;
    const said = stderr.trim().split('\n').slice(-5).join('\n');
    return `${argv[0]} ${how}${said === '' ? '' : `:\n${said}`}`;
  });
  return all.join('\n');
}

function begin(
  argv: readonly string[],
  from: FileHandle | Readable | undefined,
  to: FileHandle | undefined,
  { env, cwd }: PipelineOptions,
): ChildProcess {
  const [program = '', ...args] = argv;
  const stdin = from === undefined ? 'ignore' : 'fd' in from ? from.fd : from;
  return spawn(program, args, {
    stdio: [stdin, to?.fd ?? 'pipe', 'pipe'],
    env: { ...process.env, LC_ALL: 'C.UTF-8', ...env },
    ...(cwd === undefined ? {} : { cwd }),
  });
}

/**
 * Runs programs one into the other, without a shell and without their data passing through this process. It is as good
 * as its worst part; at the deadline all are killed.
 */
export async function pipeline(programs: readonly (readonly string[])[], options: PipelineOptions): Promise<Piped> {
  const files: FileHandle[] = [];
  const children: ChildProcess[] = [];
  let timedOut = false;
  const kill = (): void => {
    for (const child of children) child.kill('SIGKILL');
  };
  try {
    const input = options.input === undefined ? undefined : await open(options.input, 'r');
    if (input !== undefined) files.push(input);
    const output = options.output === undefined ? undefined : await open(options.output, 'w', 0o600);
    if (output !== undefined) files.push(output);
    // In one go: until the next program reads it, nothing may take from what the one before writes.
    const endings: Promise<Part>[] = [];
    let from: FileHandle | Readable | undefined = input;
    for (const [index, argv] of programs.entries()) {
      const isLast = index === programs.length - 1;
      const child = begin(argv, from, isLast ? output : undefined, options);
      children.push(child);
      // One that could not be started reads nothing, and a writer may wait for that.
      child.once('error', kill);
      endings.push(ending(child, argv));
      // Held open here, it would keep the writer waiting for ever once its reader is gone.
      if (index > 0) (from as Readable).destroy();
      from = child.stdout ?? undefined;
    }
    const printed = children.at(-1)?.stdout ?? null;
    const { hear, signal } = options;
    const stdout =
      hear === undefined || printed === null
        ? keep(printed, Number.POSITIVE_INFINITY).catch(() => '')
        : hearAll(printed, hear);
    signal?.addEventListener('abort', kill);
    if (signal?.aborted === true) kill();
    const deadline = setTimeout(() => {
      timedOut = true;
      kill();
    }, options.timeout * 1000);
    const parts = await Promise.all(endings).finally(() => {
      clearTimeout(deadline);
      signal?.removeEventListener('abort', kill);
    });
    if (output !== undefined) await output.sync();
    const ok = !timedOut && parts.every(({ exitCode }) => exitCode === 0);
    return { parts, stdout: await stdout, timedOut, ok, why: ok ? '' : whyOf(parts, timedOut, options.timeout) };
  } catch (error) {
    kill();
    throw error;
  } finally {
    for (const file of files) await file.close();
  }
}
