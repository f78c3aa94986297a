import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readUsers } from '#resources/accounts';
import type { Host } from '#resources/resource';

const UNITS = '/etc/systemd/system';

/** All that sshd, sudo, users and ufw read: what a guard snapshots and brings back. */
const GUARDED = [
  '/etc/ssh',
  '/etc/sudoers',
  '/etc/sudoers.d',
  '/etc/passwd',
  '/etc/shadow',
  '/etc/group',
  '/etc/gshadow',
  '/etc/subuid',
  '/etc/subgid',
  '/etc/ufw',
  '/etc/default/ufw',
  '/etc/slipway/nftables',
  `${UNITS}/ssh.service.d`,
  `${UNITS}/ssh.socket.d`,
  `${UNITS}/ssh.service.requires`,
  `${UNITS}/sshd.service`,
  `${UNITS}/multi-user.target.wants/ssh.service`,
  `${UNITS}/multi-user.target.wants/ufw.service`,
  `${UNITS}/sockets.target.wants/ssh.socket`,
];

/** Units that let somebody in or keep somebody out: those that run are to run again after an undoing. */
const RUNNING = ['ssh.service', 'ssh.socket', 'ufw.service'];

/** How the host was before a guarded change, as far as an undoing needs to know. */
export interface Snapshot {
  /** Units of ours that load a table of the packet filter. */
  readonly tables: readonly string[];
  /** Of the units that let somebody in or keep somebody out, those that ran. */
  readonly running: readonly string[];
  readonly ufw: boolean;
}

/** Writes a snapshot into a folder: `paths` are all that an undoing has to look at, `snapshot.tar` what stood there. */
export async function takeSnapshot(host: Host, folder: string): Promise<Snapshot> {
  const homes = [...(await readUsers(host)).values()].map(({ home }) => `${home.replace(/\/$/, '')}/.ssh`);
  const tables = (await host.list(UNITS)).filter((name) => /^slipway-nft-[a-z0-9_]+\.service$/.test(name));
  const units = tables.flatMap((name) => [`${UNITS}/${name}`, `${UNITS}/sysinit.target.wants/${name}`]);
  const people = [...new Set(homes)].filter((path) => path.startsWith('/') && !path.includes('\n'));
  const paths = [...GUARDED, ...units];
  const there: string[] = [];
  for (const path of paths) if ((await host.stat(path)) !== undefined) there.push(path);
  // Users without a home, such as those of services, have none to look at later either.
  for (const path of people) {
    if ((await host.stat(path.slice(0, -'/.ssh'.length)))?.type !== 'directory') continue;
    paths.push(path);
    if ((await host.stat(path)) !== undefined) there.push(path);
  }
  const archive = join(folder, 'snapshot.tar');
  const members = there.map((path) => path.slice(1));
  // By numbers: names may mean other numbers by the time it is unpacked.
  const tar = ['tar', '--create', '--numeric-owner', '--file', archive, '--directory', '/', '--', ...members];
  await host.must(tar);
  await writeFile(join(folder, 'paths'), `${paths.join('\n')}\n`, { mode: 0o600 });
  const active = await host.run(['systemctl', 'is-active', ...RUNNING]);
  const answers = active.stdout.trim().split('\n');
  return {
    tables,
    running: RUNNING.filter((_, index) => answers[index] === 'active'),
    ufw: /^ENABLED=yes$/m.test((await host.readFile('/etc/ufw/ufw.conf')) ?? ''),
  };
}
