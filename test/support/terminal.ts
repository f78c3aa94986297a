import { spawn } from 'node:child_process';
import { commandLine } from '#core/quote';
import { builtCli } from './cli.ts';

/** How a run in a terminal ended, and all that was to be seen in it. */
export interface TerminalRun {
  readonly code: number | null;
  readonly screen: string;
}

/**
 * Runs `deploy` in a terminal of its own and types each answer when its question is there. script(1) gives the terminal;
 * what it writes is the raw stream, with the control sequences in it.
 */
export function deployInTerminal(
  argv: readonly string[],
  answers: readonly { readonly when: string; readonly type: string }[],
  env: Readonly<Record<string, string>> = {},
): Promise<TerminalRun> {
  const line = commandLine([process.execPath, builtCli(), ...argv]);
  const child = spawn('script', ['--quiet', '--return', '--command', line, '/dev/null'], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, NO_COLOR: '1', ...env },
  });
  const left = [...answers];
  let screen = '';
  let seen = 0;
  child.stdout.on('data', (chunk: Buffer) => {
    screen += chunk.toString('utf8');
    const next = left[0];
    const at = next === undefined ? -1 : screen.indexOf(next.when, seen);
    if (next === undefined || at < 0) return;
    seen = at + next.when.length;
    left.shift();
    child.stdin.write(`${next.type}\r`);
  });
  child.stdin.on('error', () => undefined);
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, screen }));
  });
}
