import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DeployError } from '#core/errors';
import { lastLines, run } from '#core/run';

/** Seconds that a package installation may take before it is given up. */
const DEADLINE = 600;

// The mounts live in a namespace of their own: whatever becomes of us, none stays behind.
const ENTER = `
mount -t proc proc "$1/proc"
mount --rbind /dev "$1/dev"
exec chroot "$1" /usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \\
  LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive SOURCE_DATE_EPOCH="$2" /bin/bash -euo pipefail /tmp/build.sh
`;

/** Runs a Bash script inside a tree, as root, with /proc and /dev; `what` names it in the error of a failure. */
export async function runInTree(tree: string, what: string, script: string, time: number): Promise<void> {
  const file = join(tree, 'tmp/build.sh');
  writeFileSync(file, script);
  const output = await run(
    ['unshare', '--mount', '--pid', '--fork', '--kill-child', 'sh', '-euc', ENTER, 'sh', tree, String(time)],
    { timeout: DEADLINE },
  );
  rmSync(file, { force: true });
  if (output.exitCode === 0) return;
  const reason = output.timedOut ? `gave up after ${DEADLINE} s` : lastLines(output, 8);
  throw new DeployError('sandbox-image-failed', `The image layer ${what} could not be made: ${reason}`, {
    hint: 'See that the Debian mirror answers (apt-get update) and the disk has room (df -h); then run the same command again.',
  });
}
