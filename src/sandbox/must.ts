import { DeployError } from '#core/errors';
import { lastLines, type Output, type RunOptions, run } from '#core/run';

// A program that outlived this process would go on writing where the next one clears up.
const WITH_US = ['setpriv', '--pdeathsig', 'KILL'];

/** Runs a program that has to succeed; `what` completes the sentence "could not …". Throws sandbox-failed. */
export async function must(argv: readonly string[], what: string, options: RunOptions = {}): Promise<Output> {
  const output = await run([...WITH_US, ...argv], options);
  if (output.exitCode === 0) return output;
  const why = output.timedOut ? `no end after ${Math.round(output.duration)} s` : lastLines(output);
  throw new DeployError('sandbox-failed', `The sandbox could not ${what}: ${why}`, {
    hint: 'See what it says above; `deploy sandbox down` clears everything away for a fresh start.',
  });
}
