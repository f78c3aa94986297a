import { connectOptions } from '#cli/reach';
import { DeployError } from '#core/errors';
import type { Environment } from '#inventory/environment';
import { type Connection, fetchHostKey, knownKeys, pin } from '#ssh/connection';

const PUBLIC_KEY = '/etc/ssh/ssh_host_ed25519_key.pub';

/** Whether what was declared for sshd keeps ECDSA host keys. */
function keepsEcdsa({ ssh }: Environment): boolean {
  const declared = ssh.options['HostKeyAlgorithms'];
  return declared !== undefined && /(^|,)ecdsa-/.test([declared].flat().join(','));
}

/**
 * Pins a host's Ed25519 key beside its ECDSA key where only that is pinned, since a hardened sshd does not present it any
 * more: as OpenSSH's UpdateHostKeys does, over a connection whose host is known, and once the host has proven to hold it.
 * Resolves with the sentence that says so; undefined where nothing had to be done.
 */
export async function keepRecognizable(environment: Environment, connection: Connection): Promise<string | undefined> {
  const options = connectOptions(environment);
  const { target } = connection;
  const pinned = knownKeys(target, options).filter(({ marker }) => marker === undefined);
  const [first] = pinned;
  if (first === undefined || keepsEcdsa(environment)) return undefined;
  if (pinned.some(({ type }) => !type.startsWith('ecdsa-'))) return undefined;
  const { stdout } = await connection.exec(`cat ${PUBLIC_KEY}`);
  const [type, blob] = stdout.trim().split(' ');
  // The same door once more, offering to take an Ed25519 key first: what is presented is held.
  const presented = await fetchHostKey(target, options);
  if (type !== 'ssh-ed25519' || presented.type !== type || presented.blob.toString('base64') !== blob) {
    throw new DeployError(
      'host-key-retired',
      `Only an ECDSA key is pinned for ${target.name} (${first.file}:${first.line}), which a hardened sshd does not present any more, and the host shows no Ed25519 key. Nothing was changed.`,
      {
        hint: `Make one on the host (\`ssh-keygen -A && systemctl reload ssh\`), then run the same command again; or keep ECDSA with \`ssh.options.HostKeyAlgorithms\`.`,
        host: target.name,
      },
    );
  }
  pin(first.file, target, presented);
  return `Pinned the host's Ed25519 key (${presented.fingerprint}) in ${first.file}, beside the ECDSA key, which sshd will not present any more.`;
}
