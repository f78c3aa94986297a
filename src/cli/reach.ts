import { homedir } from 'node:os';
import { join } from 'node:path';
import { lastLogin, rememberLogin } from '#cli/logins';
import { askSecret, isInteractive } from '#cli/prompter';
import { DeployError } from '#core/errors';
import type { Environment, Host } from '#inventory/environment';
import { KNOWN_HOSTS } from '#sandbox/places';
import { type Connection, type ConnectOptions, connect, type Target } from '#ssh/connection';
import { startCommand } from '#ssh/operation';
import type { Bundle } from '#ssh/runner';

/** Whether a password may be asked for where no key opens the door. */
export interface ReachOptions {
  readonly askPassword: boolean;
  /** The runner whose session is asked for together with the login. */
  readonly bundle: Bundle;
}

/** Where a host's pinned keys are looked for: the project's own file first, so that a team shares it. */
export function knownHostsFiles(environment: Environment): readonly [string, ...string[]] {
  return [join(environment.directory, 'inventory', 'known_hosts'), join(homedir(), '.ssh', 'known_hosts'), KNOWN_HOSTS];
}

/** A host of the inventory as the SSH side knows it. */
export function targetOf(host: Host, user: string): Target {
  return {
    name: host.name,
    address: host.address,
    user,
    port: host.port,
    ...(host.identityFile === undefined ? {} : { identityFile: host.identityFile }),
    ...(host.family === undefined ? {} : { family: host.family }),
  };
}

/** What every connection of an environment has in common. */
export function connectOptions(environment: Environment): ConnectOptions {
  return {
    knownHosts: knownHostsFiles(environment),
    ...(isInteractive() ? { passphrase: (file) => askSecret(`Passphrase of ${file}:`) } : {}),
  };
}

/** How a host is known in this machine's memory of logins. */
export function placeOf(host: Host): string {
  return `${host.address}:${host.port}`;
}

/**
 * Connects to a host as the user Slipway made, or where that user does not exist yet, as the user of the first contact:
 * first as whoever was let in the last time.
 */
export async function reach(environment: Environment, host: Host, options: ReachOptions): Promise<Connection> {
  if (options.askPassword && !isInteractive()) {
    throw new DeployError('usage', 'Nobody is at a terminal to be asked for a password.', {
      hint: 'Run the command in a terminal, or add your key to the host and leave out --ask-password.',
    });
  }
  const shared = connectOptions(environment);
  const last = await lastLogin(placeOf(host));
  const users = new Set([last === host.user ? host.user : environment.ssh.user, environment.ssh.user, host.user]);
  let refusal: unknown;
  for (const user of users) {
    try {
      const connection = await connect(targetOf(host, user), {
        ...shared,
        ahead: startCommand(user, options.bundle),
        ...(options.askPassword && user === host.user ? { password: askSecret } : {}),
      });
      await rememberLogin(placeOf(host), user);
      return connection;
    } catch (error) {
      if (!(error instanceof DeployError) || error.code !== 'authentication-failed') throw error;
      refusal = error;
    }
  }
  throw refusal;
}
