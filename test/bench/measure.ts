import { spawn } from 'node:child_process';

/** What one run of a program took. */
export interface Timing {
  /** Seconds from the start of the process to its exit. */
  readonly seconds: number;
  readonly exitCode: number | null;
  /** Both streams, in the order they came. */
  readonly output: string;
}

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Exit codes that are no failure; only 0 by default. */
  readonly expect?: readonly number[];
}

/** Runs a program as a person would and times the whole of it; rejects where it ends otherwise than expected. */
export function timed(argv: readonly string[], options: RunOptions = {}): Promise<Timing> {
  const [program = '', ...args] = argv;
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const started = performance.now();
    const child = spawn(program, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, NO_COLOR: '1', ...options.env },
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    });
    let seconds = 0;
    // The exit counts, not the close: a master connection that stays behind may hold the pipes open.
    child.once('exit', (exitCode) => {
      seconds = (performance.now() - started) / 1000;
      // What was printed before the exit is in the pipes by now.
      setTimeout(() => {
        const output = Buffer.concat(chunks).toString();
        child.stdout.destroy();
        child.stderr.destroy();
        if ((options.expect ?? [0]).includes(exitCode ?? -1)) resolve({ seconds, exitCode, output });
        else reject(new Error(`${argv.join(' ')} ended with ${exitCode}:\n${output}`));
      }, 20);
    });
    child.once('error', reject);
    child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => chunks.push(chunk));
  });
}

/** One of several things that are measured side by side. */
export interface Contender {
  readonly name: string;
  run(): Promise<Timing>;
}

/** Measured seconds by the contender's name. */
export type Samples = ReadonlyMap<string, readonly number[]>;

/**
 * Measures contenders in turns, so that whatever else the machine does meets all of them alike. Each round begins with
 * another one; the first round warms caches and is not counted.
 */
export async function interleave(
  contenders: readonly Contender[],
  rounds: number,
  say: (message: string) => void = () => undefined,
): Promise<Samples> {
  const samples = new Map(contenders.map(({ name }) => [name, [] as number[]]));
  for (let round = 0; round <= rounds; round += 1) {
    say(round === 0 ? 'warming up' : `round ${round} of ${rounds}`);
    for (let turn = 0; turn < contenders.length; turn += 1) {
      const contender = contenders[(round + turn) % contenders.length];
      if (contender === undefined) continue;
      const { seconds } = await contender.run();
      if (round > 0) samples.get(contender.name)?.push(seconds);
    }
  }
  return samples;
}

/** The middle value; of an even number, the mean of the middle two. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  const [low, high] = [sorted[Math.ceil(middle) - 1], sorted[Math.floor(middle)]];
  if (low === undefined || high === undefined) throw new Error('there is nothing to take the median of');
  return (low + high) / 2;
}

/** The median of a contender's samples. */
export function medianOf(samples: Samples, name: string): number {
  return median(samples.get(name) ?? []);
}
