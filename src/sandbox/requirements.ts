import { access, constants, statfs } from 'node:fs/promises';
import { delimiter } from 'node:path';
import { DeployError } from '#core/errors';

/** The programs that the sandbox runs on this machine, and the Debian package of each. */
const PROGRAMS = {
  debootstrap: 'debootstrap',
  'systemd-nspawn': 'systemd-container',
  nft: 'nftables',
  ip: 'iproute2',
  flock: 'util-linux',
  openssl: 'openssl',
  'ssh-keygen': 'openssh-client',
  'mkfs.ext4': 'e2fsprogs',
} as const;

const KEYRING = { file: '/usr/share/keyrings/debian-archive-keyring.gpg', package: 'debian-archive-keyring' } as const;

// cgroup2's magic number in statfs(2).
const CGROUP2 = 0x63677270;

function unavailable(message: string, hint: string): DeployError {
  return new DeployError('sandbox-unavailable', message, { hint });
}

async function can(path: string, mode: number): Promise<boolean> {
  return await access(path, mode).then(
    () => true,
    () => false,
  );
}

async function onPath(program: string): Promise<boolean> {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin'];
  const found = await Promise.all(folders.map(async (folder) => await can(`${folder}/${program}`, constants.X_OK)));
  return found.includes(true);
}

async function isCgroup2(path: string): Promise<boolean> {
  return await statfs(path).then(
    ({ type }) => type === CGROUP2,
    () => false,
  );
}

/** Throws sandbox-unavailable where the sandbox cannot run, saying everything that is missing at once. */
export async function checkRequirements(): Promise<void> {
  if (process.platform !== 'linux') {
    throw unavailable(
      `The sandbox runs Linux hosts without a virtual machine, so it needs Linux; this is ${process.platform}.`,
      'Run it on a Linux machine or in a Linux virtual machine, or deploy to a real host.',
    );
  }
  if (process.getuid?.() !== 0) {
    throw unavailable(
      'The sandbox makes network bridges and boots hosts, which only root may.',
      'Run the same command with `sudo`.',
    );
  }
  const missing = new Set<string>();
  for (const [program, from] of Object.entries(PROGRAMS)) if (!(await onPath(program))) missing.add(from);
  if (!(await can(KEYRING.file, constants.R_OK))) missing.add(KEYRING.package);
  if (missing.size > 0) {
    const packages = [...missing].join(' ');
    throw unavailable(
      `The sandbox needs what is not installed here: ${packages}.`,
      `Install it with \`apt-get install --yes --no-install-recommends ${packages}\`.`,
    );
  }
  if (!(await isCgroup2('/sys/fs/cgroup')) && !(await isCgroup2('/sys/fs/cgroup/unified'))) {
    throw unavailable(
      'The sandbox needs the cgroup v2 tree, which is not mounted here.',
      'Mount it with `mkdir -p /sys/fs/cgroup/unified && mount -t cgroup2 none /sys/fs/cgroup/unified`.',
    );
  }
}
