import { spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { $ as shell } from 'zx/core';
import { commandLine } from '#core/quote';

export interface RunOptions {
  /** What the program reads on its standard input; nothing by default. Secrets go this way, never in the arguments. */
  readonly input?: string | Buffer | Readable;
  /** Added to the environment of this process. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Seconds after which the program is killed; 60 by default. */
  readonly timeout?: number;
  readonly signal?: AbortSignal;
}

export interface Output {
  readonly argv: readonly string[];
  readonly stdout: string;
  readonly stderr: string;
  /** null where a signal or the deadline ended the program. */
  readonly exitCode: number | null;
  readonly timedOut: boolean;
  /** Seconds. */
  readonly duration: number;
}

const DEFAULT_TIMEOUT = 60;

// zx looks for the process tree with `ps`, which a bare Debian may lack; `exec` leaves one process, so its pid is enough.
function kill(pid: number | undefined, signal?: NodeJS.Signals): Promise<void> {
  try {
    if (pid !== undefined) process.kill(pid, signal ?? 'SIGKILL');
  } catch {
    // It has ended by itself meanwhile.
  }
  return Promise.resolve();
}

// A program may end before it has read its input; unheard, the broken pipe would end this process.
const spawnDeaf = ((...args: Parameters<typeof spawn>) => {
  const child = spawn(...args);
  child.stdin?.on('error', () => undefined);
  return child;
}) as typeof spawn;

/**
 * Runs a program on this machine and resolves with what it did, whatever its exit code: the caller decides what a
 * failure means. Programs are given as argument vectors; no shell syntax is ever interpreted.
 */
export async function run(argv: readonly string[], options: RunOptions = {}): Promise<Output> {
  const started = performance.now();
  const timeout = options.timeout ?? DEFAULT_TIMEOUT;
  const $ = shell({
    shell: '/bin/bash',
    prefix: 'exec ',
    quote: (word: string) => word,
    nothrow: true,
    quiet: true,
    verbose: false,
    detached: false,
    spawn: spawnDeaf,
    kill: kill as never,
    killSignal: 'SIGKILL',
    timeout: `${Math.ceil(timeout * 1000)}ms`,
    timeoutSignal: 'SIGKILL',
    // Without input a program reads an empty file; an open pipe would leave it waiting.
    ...(options.input === undefined || options.input === ''
      ? { stdio: ['ignore', 'pipe', 'pipe'] as ['ignore', 'pipe', 'pipe'] }
      : { input: options.input }),
    env: { ...process.env, LC_ALL: 'C.UTF-8', ...options.env },
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  });
  const output = await $`${commandLine(argv)}`;
  const duration = (performance.now() - started) / 1000;
  return {
    argv,
    stdout: output.stdout,
    stderr: output.stderr,
    exitCode: output.exitCode,
    timedOut: output.exitCode === null && duration >= timeout,
    duration,
  };
}

/** The last lines of what a program said, stderr first: for error messages. */
export function lastLines(output: Output, count = 5): string {
  const said = output.stderr.trim() === '' ? output.stdout : output.stderr;
  return said.trim().split('\n').slice(-count).join('\n');
}
