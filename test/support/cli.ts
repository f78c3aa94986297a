import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';
import type { Event } from '#protocol/event';

/** How a run of the built command line ended. */
export interface CliRun {
  /** null where a signal ended it. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** The events of `--json`; empty without. */
  readonly events: readonly Event[];
}

export interface CliOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string;
  /** Hears every event of `--json` as it comes. */
  readonly onEvent?: (event: Event, child: ChildProcess) => void;
}

/** The built command line, in dist/ or in the folder SLIPWAY_DIST names; it is built where it is not there yet. */
export function builtCli(): string {
  const folder = process.env.SLIPWAY_DIST ?? 'dist';
  const file = resolve(folder, 'deploy.mjs');
  if (!existsSync(file)) execFileSync('node', ['scripts/build.mjs', '--outdir', folder], { stdio: 'inherit' });
  return file;
}

/** Runs `deploy` as a process of its own, as a person or a machine would. */
export function deploy(argv: readonly string[], options: CliOptions = {}): Promise<CliRun> {
  const child = spawn(process.execPath, [builtCli(), ...argv], {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, NO_COLOR: '1', ...options.env },
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  const events: Event[] = [];
  let stdout = '';
  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString('utf8');
  });
  createInterface({ input: child.stdout }).on('line', (line) => {
    stdout += `${line}\n`;
    if (!line.startsWith('{')) return;
    const event = JSON.parse(line) as Event;
    events.push(event);
    options.onEvent?.(event, child);
  });
  child.stdin.on('error', () => undefined);
  child.stdin.end(options.input ?? '');
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, stdout, stderr, events }));
  });
}
