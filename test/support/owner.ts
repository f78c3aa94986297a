import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run as runHere } from '#core/run';
import { KEY_FILE } from '#sandbox/places';
import { run, type SandboxHost } from '#sandbox/sandbox';
import { connect } from '#ssh/connection';
import { scratch } from '#test/support/scratch';

/** The owner of a sandbox host, who looks whether they are still let in. */
export interface Owner {
  /** A known_hosts file with the host's keys, whatever the port. */
  readonly knownHosts: string;
  /** What a command prints after a fresh login with the owner's key by the system's own client; `exit N` where it fails. */
  login(user: string, command?: string): Promise<string>;
  /** `let in`, or why a login with this password was refused; the key that is offered first opens nothing. */
  password(user: string, password: string): Promise<string>;
}

/** The owner of a host whose sshd listens on this port. */
export async function ownerOf(host: SandboxHost, port = 22): Promise<Owner> {
  const folder = scratch('owner');
  const knownHosts = join(folder, 'known_hosts');
  const names = port === 22 ? host.address : `[${host.address}]:${port}`;
  const keys = host.knownHosts
    .trimEnd()
    .split('\n')
    .map((line) => line.replace(/^\S+/, names));
  writeFileSync(knownHosts, `${keys.join('\n')}\n`);
  const strange = join(folder, 'strange');
  await runHere(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', strange]);
  return {
    knownHosts,
    async login(user, command = 'id -un') {
      const options = [`UserKnownHostsFile=${knownHosts}`, 'BatchMode=yes', 'IdentitiesOnly=yes', 'IdentityAgent=none'];
      const { stdout, exitCode } = await runHere([
        ...['ssh', '-F', 'none', '-q', '-p', String(port), '-i', KEY_FILE],
        ...options.flatMap((option) => ['-o', option]),
        ...[`${user}@${host.address}`, command],
      ]);
      return exitCode === 0 ? stdout.trim() : `exit ${exitCode}`;
    },
    async password(user, password) {
      const target = { name: host.name, address: host.address, port, user, identityFile: strange };
      try {
        const options = { knownHosts: [knownHosts], agent: false as const, password: async () => password };
        await using _ = await connect(target, options);
        return 'let in';
      } catch (error) {
        return (error as Error).message;
      } finally {
        // sshd keeps who fails too often out for a while (PerSourcePenalties), and forgets it when it starts anew.
        await run(host.name, ['systemctl', 'try-restart', 'ssh.service']);
      }
    },
  };
}
