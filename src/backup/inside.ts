import { setTimeout as sleep } from 'node:timers/promises';
import type { Output, RunOptions } from '#core/run';
import type { Host } from '#resources/resource';

/** Times that a program is begun, and milliseconds in between. */
const TRIES = { most: 3, pause: 500 };

/** Whether `docker exec` has said that it could not begin a program which is there: it has not run at all. Pure. */
export function wasNeverBegun({ exitCode, stderr }: Pick<Output, 'exitCode' | 'stderr'>): boolean {
  return exitCode !== 0 && /^OCI runtime exec failed: .*unable to start container process: (?!exec: )/m.test(stderr);
}

/**
 * Runs a program in a container by `docker exec`, and resolves whatever its exit code. On a busy host the container
 * runtime now and then fails to begin one, which says nothing of the container: then it is tried again.
 */
export async function runInside(
  host: Host,
  argv: readonly string[],
  options: RunOptions & { readonly input?: string } = {},
): Promise<Output> {
  for (let attempt = 1; ; attempt += 1) {
    const output = await host.run(argv, options);
    if (attempt === TRIES.most || !wasNeverBegun(output)) return output;
    await sleep(TRIES.pause);
  }
}
