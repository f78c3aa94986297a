import { chmod } from 'node:fs/promises';
import { join } from 'node:path';
import { SETTINGS } from '#backup/places';
import { DeployError } from '#core/errors';
import type { Output } from '#core/run';
import type { BackupSettings, Repository } from '#protocol/backup';
import { replaceText } from '#release/durable';
import type { Host } from '#resources/resource';
import type { Place } from './repository.ts';

/** How a host logs in to an SFTP server. */
export interface Login {
  /** For ssh and sftp alike. */
  readonly options: readonly string[];
  /** What the server has to authorise. */
  readonly publicKey: string;
  /** Where the server's key is pinned. */
  readonly knownHosts: string;
  /** Has sftp carry out commands, one a line. */
  batch(commands: readonly string[], timeout: number): Promise<Output>;
  /** Warns where this contact was the first and its key was taken as it came. */
  noticeNewKey(): Promise<void>;
}

type SftpPlace = Extract<Place, { type: 'sftp' }>;

function pathOf(app: string, name: string, ending: string): string {
  return join(SETTINGS, `${app}.${name}.${ending}`);
}

async function keepText(host: Host, path: string, text: string): Promise<void> {
  if ((await host.readFile(path)) !== text) await replaceText(path, text);
}

/** The private key for a repository: the one that was declared, or one the host has made for itself. */
async function identityFor(host: Host, app: string, { name, identity }: Repository): Promise<string> {
  if (identity !== undefined) {
    const given = pathOf(app, name, 'given-identity');
    await keepText(host, given, `${identity.trimEnd()}\n`);
    return given;
  }
  const made = pathOf(app, name, 'identity');
  if ((await host.stat(made)) === undefined) {
    // Its public half is what a person sees on the other server, so it says whose it is.
    const comment = `slipway-${app}@${host.facts.hostname}`;
    await host.must(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', comment, '-f', made]);
    await chmod(made, 0o600);
  }
  return made;
}

async function publicHalf(host: Host, identity: string): Promise<string> {
  const known = await host.readFile(`${identity}.pub`);
  if (known !== undefined && !identity.endsWith('.given-identity')) return known.trim();
  const { exitCode, stdout } = await host.run(['ssh-keygen', '-y', '-P', '', '-f', identity]);
  if (exitCode === 0) return stdout.trim();
  throw new DeployError('repository-failed', 'The private key for the SFTP server cannot be read.', {
    hint: 'Point `backups.identityFile` to a private key without a passphrase, or leave it out: the host makes one.',
  });
}

/** Makes ready what a login to an SFTP server takes. */
export async function loginTo(
  host: Host,
  { app }: BackupSettings,
  repository: Repository,
  { host: address, user, port = 22 }: SftpPlace,
): Promise<Login> {
  const { name, hostKey } = repository;
  const identity = await identityFor(host, app, repository);
  const publicKey = await publicHalf(host, identity);
  const knownHosts = pathOf(app, name, hostKey === undefined ? 'pinned-host' : 'declared-host');
  const title = port === 22 ? address : `[${address}]:${port}`;
  if (hostKey !== undefined) await keepText(host, knownHosts, `${title} ${hostKey.trim()}\n`);
  const before = await host.readFile(knownHosts);
  const settings = {
    BatchMode: 'yes',
    LogLevel: 'ERROR',
    IdentitiesOnly: 'yes',
    PasswordAuthentication: 'no',
    UserKnownHostsFile: knownHosts,
    GlobalKnownHostsFile: '/dev/null',
    StrictHostKeyChecking: hostKey === undefined ? 'accept-new' : 'yes',
    UpdateHostKeys: 'no',
    HashKnownHosts: 'no',
    ControlPath: 'none',
    ConnectTimeout: '20',
    // A peer that has gone without a word is given up after a minute.
    ServerAliveInterval: '15',
    ServerAliveCountMax: '4',
  };
  // What the administrator has written for other logins must not decide where backups go.
  const options = [
    ...['-F', 'none', '-i', identity],
    ...Object.entries(settings).flatMap(([option, value]) => ['-o', `${option}=${value}`]),
  ];
  const target = `${user === undefined ? '' : `${user}@`}${address.includes(':') ? `[${address}]` : address}`;
  return {
    options,
    batch: (commands, timeout) =>
      host.run(['sftp', '-b', '-', ...options, '-P', String(port), target], {
        input: `${commands.join('\n')}\n`,
        timeout,
      }),
    publicKey,
    knownHosts,
    async noticeNewKey() {
      const now = await host.readFile(knownHosts);
      if (now === undefined || now === before) return;
      host.warn(
        `The SFTP server ${title} was not known: the key it has shown is trusted from now on.`,
        `Compare it with the server's own, and declare it as \`backups.hostKey\`: "${now.trim().split('\n').at(-1)?.split(' ').slice(1).join(' ')}".`,
      );
    },
  };
}
