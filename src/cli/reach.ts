import { homedir } from 'node:os';
import { join } from 'node:path';
import { lastLogin, rememberLogin } from '#cli/logins';
import { askSecret, isInteractive } from '#cli/prompter';
import { DeployError } from '#core/errors';
import type { Environment, Host } from '#inventory/environment';
import { KNOWN_HOSTS } from '#sandbox/places';
import { settingsFor } from '#ssh/config';
import { type Connection, type ConnectOptions, connect, type Target } from '#ssh/connection';
import { startCommand } from '#ssh/operation';
import type { Bundle } from '#ssh/runner';

/** How a host is reached. */
export interface ReachOptions {
  /** That a password was said to be needed, so that somebody has to be there to be asked. */
  readonly askPassword: boolean;
  /** The runner whose session is asked for together with the login. */
  readonly bundle: Bundle;
}

/** Where a host's pinned keys are looked for: the project's own file first, so that a team shares it. */
export function knownHostsFiles(environment: Environment): readonly [string, ...string[]] {
  return [join(environment.directory, 'inventory', 'known_hosts'), join(homedir(), '.ssh', 'known_hosts'), KNOWN_HOSTS];
}

/** A user and a port to knock at. */
interface Door {
  readonly user: string;
  readonly port: number;
}

/** Where a host lets somebody in before Slipway has been there: as declared, else as ~/.ssh/config says. */
function firstDoor({ address, user, port }: Host): Door {
  const settings = settingsFor(address, {
    ...(user === undefined ? {} : { user }),
    ...(port === undefined ? {} : { port }),
  });
  return { user: settings.user ?? 'root', port: settings.port ?? 22 };
}

/** A host of the inventory as the SSH side knows it; its key is the one pinned for the port of the first contact. */
function targetOf(host: Host, { user, port }: Door): Target {
  return {
    name: host.name,
    address: host.address,
    user,
    port,
    keyPort: firstDoor(host).port,
    ...(host.identityFile === undefined ? {} : { identityFile: host.identityFile }),
    ...(host.family === undefined ? {} : { family: host.family }),
  };
}

/** A host as it is before Slipway has been there. */
export function firstTarget(host: Host): Target {
  return targetOf(host, firstDoor(host));
}

/** A host as Slipway leaves it: its own user, and the port that sshd was moved to. */
export function finalTarget(environment: Environment, host: Host): Target {
  return targetOf(host, finalDoor(environment, host));
}

function finalDoor({ ssh }: Environment, host: Host): Door {
  return { user: ssh.user, port: ssh.port ?? firstDoor(host).port };
}

const passphrases = new Map<string, Promise<string>>();

// A run logs in several times; a person is asked once.
function passphraseOf(file: string): Promise<string> {
  const asked = passphrases.get(file) ?? askSecret(`Passphrase of ${file}:`);
  passphrases.set(file, asked);
  return asked;
}

/** What every connection of an environment has in common. */
export function connectOptions(environment: Environment): ConnectOptions {
  return {
    knownHosts: knownHostsFiles(environment),
    ...(isInteractive() ? { passphrase: passphraseOf } : {}),
  };
}

/** How a host is known in this machine's memory of logins. */
export function placeOf(host: Host): string {
  return `${host.address}:${firstDoor(host).port}`;
}

/** The doors of a host in the order in which they are tried: first the one that opened the last time. */
async function doors(environment: Environment, host: Host): Promise<readonly Door[]> {
  const first = firstDoor(host);
  const final = finalDoor(environment, host);
  // Hardened, but with sshd where it was: what a port that is new in the inventory finds.
  const between = { user: final.user, port: first.port };
  const isBare = (await lastLogin(placeOf(host))) === first.user;
  const all = isBare ? [first, final, between] : [final, between, first];
  return all.filter(({ user, port }, at) => all.findIndex((door) => door.user === user && door.port === port) === at);
}

/** Whether another door may open where this one did not. */
function isClosed(error: unknown, door: Door, next: Door | undefined): boolean {
  if (!(error instanceof DeployError) || next === undefined) return false;
  return error.code === 'authentication-failed' || (error.code === 'host-unreachable' && next.port !== door.port);
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
  const first = firstDoor(host);
  const tried = await doors(environment, host);
  const hasOpened = (await lastLogin(placeOf(host))) !== undefined;
  let refusal: DeployError | undefined;
  for (const [at, door] of tried.entries()) {
    try {
      const connection = await connect(targetOf(host, door), {
        ...shared,
        ahead: startCommand(door.user, options.bundle),
        // Only where no key opens the door, and the host takes a password: as `ssh` does. It is kept nowhere.
        ...(isInteractive() && door.user === first.user ? { password: askSecret } : {}),
      });
      await rememberLogin(placeOf(host), door.user);
      return connection;
    } catch (error) {
      const refused = error instanceof DeployError && error.code === 'authentication-failed';
      // The door that opened the last time is the one to hear of; the others are guesses.
      if (refused && hasOpened) refusal ??= error;
      if (!isClosed(error, door, tried[at + 1])) throw refused ? (refusal ?? error) : error;
    }
  }
  throw new DeployError('internal', 'A host has no door.', { hint: 'This is a defect.', host: host.name });
}
