import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

/** How a program that was listened to has ended. */
export interface Heard {
  /** null where a signal or the deadline ended it. */
  readonly exitCode: number | null;
  /** The end of what it complained about. */
  readonly stderr: string;
}

/** Characters that are kept of a program's complaints. */
const KEPT = 4000;

/** Runs a program and hears each line that it prints, however many there are; after `timeout` seconds it is killed. */
export async function eachLine(
  argv: readonly string[],
  hear: (line: string) => void,
  { timeout }: { readonly timeout: number },
): Promise<Heard> {
  const [program = '', ...args] = argv;
  const child = spawn(program, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, LC_ALL: 'C.UTF-8' },
  });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    stderr = (stderr + chunk).slice(-KEPT);
  });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve(code));
  });
  const deadline = setTimeout(() => child.kill('SIGKILL'), timeout * 1000);
  try {
    const lines = createInterface({ input: child.stdout });
    lines.on('line', hear);
    const [exitCode] = await Promise.all([ended, new Promise((resolve) => lines.once('close', resolve))]);
    return { exitCode, stderr };
  } finally {
    clearTimeout(deadline);
  }
}
