import { randomUUID } from 'node:crypto';
import { chmod, mkdir, readFile, rename, rm } from 'node:fs/promises';
import { must } from './must.ts';
import { addressesOf, GATEWAY } from './network.ts';
import { writeIn } from './tree.ts';

// The three that Debian's own installation makes.
const KEY_TYPES = ['ed25519', 'ecdsa', 'rsa'] as const;

/** Makes fresh SSH host keys in a folder; their public halves, as `type base64`. */
export async function makeHostKeys(folder: string): Promise<readonly string[]> {
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true, mode: 0o700 });
  return await Promise.all(
    KEY_TYPES.map(async (type) => {
      const file = `${folder}/ssh_host_${type}_key`;
      await must(['ssh-keygen', '-q', '-t', type, '-N', '', '-C', '', '-f', file], 'make host keys');
      return (await readFile(`${file}.pub`, 'utf8')).trim();
    }),
  );
}

/** Moves host keys made by `makeHostKeys` to where sshd looks for them. */
export async function placeHostKeys(folder: string, tree: string): Promise<void> {
  for (const type of KEY_TYPES) {
    for (const suffix of ['', '.pub']) {
      const name = `ssh_host_${type}_key${suffix}`;
      await rename(`${folder}/${name}`, `${tree}/etc/ssh/${name}`).catch(async () => {
        // The tree may be a file system of its own.
        await must(['mv', '--force', `${folder}/${name}`, `${tree}/etc/ssh/${name}`], 'place host keys');
      });
    }
  }
  await rm(folder, { recursive: true });
}

// The hardware address follows from the number: whoever spoke to the host that had these addresses before would
// otherwise go on asking for its hardware, for up to 45 s (Linux's neighbour table).
function network(number: number): string {
  const { address, address6 } = addressesOf(number);
  return `[Match]
Name=host0

[Link]
MACAddress=02:00:0a:cb:07:${number.toString(16).padStart(2, '0')}

[Network]
Address=${address}/24
Address=${address6}/64
Gateway=${GATEWAY.address}
Gateway=${GATEWAY.address6}
DHCP=no
IPv6AcceptRA=no
IPv6DuplicateAddressDetection=0
`;
}

/** Gives a tree its name, addresses and machine id: what no two hosts may share. */
export async function identifyTree(tree: string, name: string, number: number): Promise<void> {
  await writeIn(tree, '/etc/hostname', `${name}\n`);
  await writeIn(
    tree,
    '/etc/hosts',
    `127.0.0.1 localhost\n127.0.1.1 ${name}\n::1 localhost ip6-localhost ip6-loopback\n`,
  );
  // An absent id would make this a "first boot", at which systemd enables every unit there is.
  await writeIn(tree, '/etc/machine-id', `${randomUUID().replaceAll('-', '')}\n`, 0o444);
  await writeIn(tree, '/etc/systemd/network/10-host0.network', network(number));
}

/** Tells a tree, booted or not, which nameservers to ask. */
export async function setResolvers(tree: string, nameservers: readonly string[]): Promise<void> {
  await writeIn(tree, '/etc/resolv.conf', nameservers.map((server) => `nameserver ${server}\n`).join(''));
}

/** Lets these keys in as root. */
export async function authorizeRoot(tree: string, keys: readonly string[]): Promise<void> {
  await writeIn(tree, '/root/.ssh/authorized_keys', `${keys.join('\n')}\n`, 0o600);
  await chmod(`${tree}/root/.ssh`, 0o700);
}

/** The lines a known_hosts file needs for a host by its name and addresses (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT). */
export function knownHosts(names: readonly string[], hostKeys: readonly string[]): string {
  return hostKeys.map((key) => `${names.join(',')} ${key}\n`).join('');
}
