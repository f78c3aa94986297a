import type { Output } from '#core/run';
import type { Host } from '#resources/resource';

/** Runs sshd(8), to have it check or say something. */
export async function sshd(host: Host, argv: readonly string[]): Promise<Output> {
  // Where ssh.socket waits and nobody has logged in yet, the directory is missing and sshd refuses to check anything.
  await host.once('/run/sshd', async () => {
    if ((await host.stat('/run/sshd')) === undefined) await host.run(['install', '-d', '-m', '0755', '/run/sshd']);
  });
  return host.run(['/usr/sbin/sshd', ...argv]);
}
