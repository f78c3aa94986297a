import { randomInt } from 'node:crypto';
import type { Found, HostProbe } from '#audit/audit';
import { people } from '#audit/people';
import type { Host } from '#resources/resource';
import { configuration } from './sshd.ts';

const HOST_KEYS = ['StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null', 'GlobalKnownHostsFile=/dev/null'];
const ASKING = ['BatchMode=yes', 'PreferredAuthentications=none', 'ConnectTimeout=5', 'LogLevel=ERROR'];

// sshd holds off an address that never logs in (PerSourcePenalties). All of 127.0.0.0/8 is this host, so each question
// comes from an address of its own and the next audit is not held off.
const source = () => `127.${randomInt(1, 255)}.${randomInt(1, 255)}.${randomInt(1, 255)}`;

/** The methods that sshd offers, from what a client that was refused prints; undefined where it says none. */
export function offeredMethods(said: string): readonly string[] | undefined {
  return /Permission denied \(([^)]+)\)/.exec(said)?.[1]?.split(',');
}

/** What is offered on loopback; undefined where sshd listens only elsewhere. */
async function methods(host: Host, user: string, port: number): Promise<readonly string[] | undefined> {
  const options = [...HOST_KEYS, ...ASKING].flatMap((option) => ['-o', option]);
  const { stderr, exitCode } = await host.run(
    ['ssh', '-F', '/dev/null', '-b', source(), '-p', String(port), '-l', user, ...options, '127.0.0.1', 'true'],
    { timeout: 8 },
  );
  // Who is let in without any method needs no password either.
  const offered = exitCode === 0 ? ['none'] : offeredMethods(stderr);
  if (offered !== undefined || /Connection refused/.test(stderr)) return offered;
  throw new Error(`sshd on port ${port} did not say how ${user} may log in: ${stderr.trim().split('\n').at(-1)}`);
}

function ports(host: Host): readonly number[] {
  const { listening, sshPort } = host.facts;
  const sshd = listening.filter(({ program }) => program === 'sshd').map(({ port }) => port);
  return [...new Set([...sshd, ...(sshPort === undefined ? [] : [sshPort])])];
}

/** The one key is `password`. Nothing is tried: a client asks for the methods and goes. */
export const login: HostProbe = {
  name: 'login',
  async ask(host, keys) {
    const { differs } = await configuration(host);
    const users = differs ? ['root', ...(await people(host))] : ['root'];
    const offered = await Promise.all(ports(host).flatMap((port) => users.map((user) => methods(host, user, port))));
    const known = offered.flatMap((list) => list ?? []);
    const isOpen = known.some((method) => ['none', 'password', 'keyboard-interactive'].includes(method));
    const found: Found =
      known.length === 0 ? { cannot: 'sshd does not listen on loopback' } : { value: isOpen ? 'offered' : 'refused' };
    return new Map(keys.map((key) => [key, found]));
  },
};
