import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Target } from './load-clients.ts';
import { type Entry, type LoadReport, readEntries, summarize } from './load-record.ts';
import { scratch } from './scratch.ts';

/** Milliseconds by which the load fell behind its own schedule: what it measures can be no finer than this. */
export interface Lag {
  readonly p50: number;
  readonly p99: number;
  readonly most: number;
}

/** A load that runs until it is stopped. */
export interface Load extends AsyncDisposable {
  /** Sends nothing more, waits for what is under way, and tells what became of every request. */
  stop(): Promise<{ readonly entries: readonly Entry[]; readonly report: LoadReport; readonly lag: Lag }>;
}

const MAIN = fileURLToPath(new URL('load-main.ts', import.meta.url));

/** Starts a load of this many requests a second in all: see load-main.ts for what they are. */
export async function startLoad(target: Target, rate: number): Promise<Load> {
  const file = join(scratch('load'), 'entries.ndjson');
  const child = spawn(process.execPath, ['--import', 'tsx', MAIN], { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  child.stdin.write(`${JSON.stringify({ ...target, rate, file })}\n`);
  const lines = createInterface({ input: child.stdout });
  await Promise.race([
    once(lines, 'line'),
    ended.then(([code]) => Promise.reject(new Error(`The load ended with ${code} before it began.`))),
  ]);
  return {
    async stop() {
      const last = once(lines, 'line');
      child.stdin.write('stop\n');
      const [code] = await ended;
      if (code !== 0) throw new Error(`The load ended with ${code}.`);
      const entries = readEntries(file);
      const [lag] = await last;
      return { entries, report: summarize(entries), lag: JSON.parse(lag) as Lag };
    },
    async [Symbol.asyncDispose]() {
      if (child.exitCode === null) child.kill();
    },
  };
}
