import { readdir, rm } from 'node:fs/promises';
import { BALLAST } from './disk.ts';
import { within, writeIn } from './tree.ts';

/** What a variety may change on a host before its first boot. */
export interface Draft {
  /** Its root tree, not booted. */
  readonly tree: string;
  /** Public keys, one authorized_keys line each. */
  readonly authorizedKeys: readonly string[];
  /** The password that the login user has where the host takes one. */
  readonly password: string;
}

interface VarietyEntry {
  /** One phrase: what the host is like. */
  readonly means: string;
  /** The user that it lets in; root where no variety says otherwise. */
  readonly user?: string;
  /** That its user logs in with a password. */
  readonly takesPassword?: true;
  /** That its root is a small file system of its own, with only so many bytes left. */
  readonly bytesLeft?: number;
  readonly prepare: (draft: Draft) => Promise<void>;
}

async function setPassword(tree: string, user: string, password: string): Promise<void> {
  await within(tree, ['chpasswd'], `${user}:${password}\n`);
}

// From the mirror that the host itself would use.
async function install(tree: string, packages: readonly string[]): Promise<void> {
  const lists = `${tree}/var/lib/apt/lists`;
  if (!(await readdir(lists)).some((name) => name.endsWith('_Packages')))
    await within(tree, ['apt-get', '-qq', 'update']);
  await within(tree, ['apt-get', '-qq', '-y', '--no-install-recommends', 'install', ...packages]);
}

/** Seconds that the first boot of a `first-boot` host goes on after its sshd answers. */
const FIRST_BOOT = 15;

// What a provider's image has cloud-init do, without what the sandbox itself has done: names, networks, host keys.
const USER_DATA = `#cloud-config
disable_root: false
users: []
ssh_deletekeys: false
ssh_pwauth: true
preserve_hostname: true
package_update: true
packages: [tree]
runcmd: [[sleep, "${FIRST_BOOT}"]]
`;
const CLOUD_CONFIG = `datasource_list: [NoCloud]
network: { config: disabled }
growpart: { mode: "off" }
resize_rootfs: false
apt: { preserve_sources_list: true }
`;

// dpkg and apt lock with fcntl, which flock(1) cannot; perl is part of every Debian.
const HOLD_APT = `use Fcntl;
for my $path (qw(/var/lib/dpkg/lock-frontend /var/lib/dpkg/lock /var/lib/apt/lists/lock)) {
  open(my $file, '>>', $path) or die "$path: $!";
  my $lock = pack('s s x4 q q l x4', F_WRLCK, 0, 0, 0, 0);
  fcntl($file, F_SETLKW, $lock) or die "$path: $!";
  push @held, $file;
}
system('systemd-notify', '--ready');
sleep 30;
`;

const HOLD_APT_UNIT = `[Unit]
Description=Holds the package manager's locks, as a provider's first-boot upgrade does
Before=ssh.service ssh.socket

[Service]
Type=notify
NotifyAccess=all
ExecStart=/usr/bin/perl /usr/local/lib/hold-apt.pl
`;

/**
 * What providers hand out, one entry each; a host may have several. A clock that is off is not among them: hosts share
 * this machine's, since Linux has no time namespace for CLOCK_REALTIME (time_namespaces(7)), and a preloaded library
 * that lies about it breaks systemd. The same difference is had by shifting the clock of the side that connects.
 */
export const VARIETIES = {
  'root-key': {
    means: 'root with a key, as most providers hand out',
    prepare: async () => undefined,
  },
  'root-password': {
    means: 'root with a password and no key',
    takesPassword: true,
    prepare: async ({ tree, password }) => {
      await rm(`${tree}/root/.ssh`, { recursive: true, force: true });
      await setPassword(tree, 'root', password);
      await writeIn(
        tree,
        '/etc/ssh/sshd_config.d/10-provider.conf',
        'PermitRootLogin yes\nPasswordAuthentication yes\n',
      );
    },
  },
  'debian-user': {
    means: 'a user debian with a key and passwordless sudo, no login for root',
    user: 'debian',
    prepare: async ({ tree, authorizedKeys }) => {
      await rm(`${tree}/root/.ssh`, { recursive: true, force: true });
      await within(tree, ['useradd', '--create-home', '--shell', '/bin/bash', 'debian']);
      await writeIn(tree, '/home/debian/.ssh/authorized_keys', `${authorizedKeys.join('\n')}\n`, 0o600);
      await within(tree, ['chown', '--recursive', 'debian:debian', '/home/debian/.ssh']);
      await within(tree, ['chmod', '700', '/home/debian/.ssh']);
      await writeIn(tree, '/etc/sudoers.d/90-provider', 'debian ALL=(ALL) NOPASSWD:ALL\n', 0o440);
      await writeIn(tree, '/etc/ssh/sshd_config.d/10-provider.conf', 'PermitRootLogin no\n');
    },
  },
  'cloud-init': {
    means: "cloud-init's sshd drop-in, which lets passwords in again",
    prepare: async ({ tree }) =>
      await writeIn(tree, '/etc/ssh/sshd_config.d/50-cloud-init.conf', 'PasswordAuthentication yes\n', 0o600),
  },
  'first-boot': {
    means: `the real cloud-init, at work for another ${FIRST_BOOT} s when its sshd answers, with passwords let in`,
    prepare: async ({ tree }) => {
      await install(tree, ['cloud-init']);
      await writeIn(tree, '/var/lib/cloud/seed/nocloud/meta-data', 'instance-id: sandbox\n');
      await writeIn(tree, '/var/lib/cloud/seed/nocloud/user-data', USER_DATA);
      await writeIn(tree, '/etc/cloud/cloud.cfg.d/99-sandbox.cfg', CLOUD_CONFIG);
    },
  },
  needrestart: {
    means: 'needrestart, set to ask which services to restart',
    prepare: async ({ tree }) => {
      await install(tree, ['needrestart']);
      await writeIn(
        tree,
        '/etc/needrestart/conf.d/ask.conf',
        "$nrconf{restart} = 'i';\n$nrconf{kernelhints} = 1;\n1;\n",
      );
    },
  },
  'nameless-host': {
    means: 'its own name cannot be resolved, which sudo complains of',
    prepare: async ({ tree }) => await writeIn(tree, '/etc/hosts', '127.0.0.1 localhost\n::1 localhost\n'),
  },
  'ssh-socket': {
    means: 'sshd started by its socket',
    prepare: async ({ tree }) => {
      await within(tree, ['systemctl', 'disable', 'ssh.service']);
      await within(tree, ['systemctl', 'enable', 'ssh.socket']);
    },
  },
  'apt-locked': {
    means: 'another process holds the locks of apt and dpkg for the first 30 s',
    prepare: async ({ tree }) => {
      await writeIn(tree, '/usr/local/lib/hold-apt.pl', HOLD_APT);
      await writeIn(tree, '/etc/systemd/system/hold-apt.service', HOLD_APT_UNIT);
      await within(tree, ['systemctl', 'add-wants', 'multi-user.target', 'hold-apt.service']);
    },
  },
  'disk-nearly-full': {
    means: `a disk of 3 GB with 60 MB left; ${BALLAST} fills it`,
    bytesLeft: 60 * 1024 ** 2,
    prepare: async () => undefined,
  },
  'no-sudo': {
    means: 'sudo is not installed',
    prepare: async ({ tree }) => {
      // Its package refuses to go while root has no password.
      await within(tree, ['env', 'SUDO_FORCE_REMOVE=yes', 'dpkg', '--purge', 'sudo']);
    },
  },
} as const satisfies Record<string, VarietyEntry>;

export type Variety = keyof typeof VARIETIES;

/** The varieties that were asked for, in the table's order, which is the order they are prepared in. */
export function inOrder(varieties: readonly Variety[]): readonly Variety[] {
  return (Object.keys(VARIETIES) as Variety[]).filter((variety) => varieties.includes(variety));
}

function entriesOf(varieties: readonly Variety[]): readonly VarietyEntry[] {
  return varieties.map((variety) => VARIETIES[variety]);
}

/** How many bytes a host of these varieties has left on a disk of its own; undefined where it has this machine's. */
export function bytesLeftOf(varieties: readonly Variety[]): number | undefined {
  return entriesOf(varieties).find((entry) => entry.bytesLeft !== undefined)?.bytesLeft;
}

/** How a host of these varieties is logged in to. */
export function loginOf(varieties: readonly Variety[]): { readonly user: string; readonly takesPassword: boolean } {
  const entries = entriesOf(varieties);
  return {
    user: entries.find((entry) => entry.user !== undefined)?.user ?? 'root',
    takesPassword: entries.some((entry) => entry.takesPassword === true),
  };
}
