import { access, readdir, readFile, readlink, statfs } from 'node:fs/promises';
import { arch, cpus, hostname, networkInterfaces, release, totalmem } from 'node:os';
import type { Facts } from '#protocol/facts';
import { listIfThere, readTextIfThere } from './files.ts';
import { ownedBy } from './ownership.ts';
import { PATHS } from './paths.ts';

const DEBIAN_ARCH: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' };

/** Interfaces that container engines make; their addresses are nobody's way in. */
const CONTAINER_BRIDGE = /^(docker|br-|veth|slipway|lo)/;

async function osRelease(): Promise<Facts['os']> {
  const text = (await readTextIfThere('/etc/os-release')) ?? '';
  const values = new Map(
    text.split('\n').flatMap((line) => {
      const at = line.indexOf('=');
      return at < 0 ? [] : [[line.slice(0, at), line.slice(at + 1).replace(/^"|"$/g, '')] as const];
    }),
  );
  return {
    id: values.get('ID') ?? 'unknown',
    version: values.get('VERSION_ID') ?? '',
    codename: values.get('VERSION_CODENAME') ?? '',
    name: values.get('PRETTY_NAME') ?? 'unknown',
  };
}

function hexAddress(hex: string): string {
  const value = Number.parseInt(hex, 16);
  return [value & 255, (value >>> 8) & 255, (value >>> 16) & 255, (value >>> 24) & 255].join('.');
}

/** Networks in use: the kernel's IPv4 routes and the interfaces' own, without the default route. */
async function networks(): Promise<string[]> {
  const rows = ((await readTextIfThere('/proc/net/route')) ?? '').split('\n').slice(1);
  const routes = rows.flatMap((row) => {
    const [name, destination, , , , , , mask] = row.split('\t');
    if (destination === undefined || mask === undefined || destination === '00000000') return [];
    if (name !== undefined && CONTAINER_BRIDGE.test(name)) return [];
    const bits = Number.parseInt(mask, 16).toString(2).replaceAll('0', '').length;
    return [`${hexAddress(destination)}/${bits}`];
  });
  return [...new Set(routes)].sort();
}

/** Which program holds a socket, by its inode; only asked for the few ports that listen. */
async function programsByInode(inodes: ReadonlySet<string>): Promise<ReadonlyMap<string, string>> {
  const programs = new Map<string, string>();
  const processes = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  await Promise.all(
    processes.map(async (pid) => {
      const descriptors = await readdir(`/proc/${pid}/fd`).catch(() => []);
      for (const descriptor of descriptors) {
        const target = await readlink(`/proc/${pid}/fd/${descriptor}`).catch(() => '');
        const inode = /^socket:\[(\d+)\]$/.exec(target)?.[1];
        if (inode === undefined || !inodes.has(inode) || programs.has(inode)) continue;
        programs.set(inode, (await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '')).trim());
      }
    }),
  );
  return programs;
}

interface Listener {
  readonly port: number;
  readonly inode: string;
}

// proc(5): column 4 is the state, 0A = LISTEN; column 10 the inode.
async function listeners(): Promise<readonly Listener[]> {
  const tables = await Promise.all(['/proc/net/tcp', '/proc/net/tcp6'].map(readTextIfThere));
  return tables
    .flatMap((text) => (text ?? '').split('\n').slice(1))
    .map((row) => row.trim().split(/\s+/))
    .filter((columns) => columns[3] === '0A')
    .map((columns) => ({ address: columns[1] ?? '', inode: columns[9] ?? '' }))
    .filter(
      ({ address }) => !address.startsWith('0100007F:') && !address.startsWith('00000000000000000000000001000000:'),
    )
    .map(({ address, inode }) => ({ port: Number.parseInt(address.split(':')[1] ?? '0', 16), inode }));
}

/** Whether systemd itself holds the socket that a port is served by. */
async function isSocketActivated(port: number, sockets: readonly Listener[]): Promise<boolean> {
  const inodes = new Set(sockets.filter((socket) => socket.port === port).map(({ inode }) => `socket:[${inode}]`));
  const descriptors = await readdir('/proc/1/fd').catch(() => []);
  const targets = await Promise.all(descriptors.map((name) => readlink(`/proc/1/fd/${name}`).catch(() => '')));
  return targets.some((target) => inodes.has(target));
}

async function programsOn(sockets: readonly Listener[]): Promise<Facts['listening']> {
  const programs = await programsByInode(new Set(sockets.map(({ inode }) => inode)));
  const ports = new Map(sockets.map(({ port, inode }) => [port, programs.get(inode) ?? 'unknown']));
  return [...ports].map(([port, program]) => ({ port, program })).sort((a, b) => a.port - b.port);
}

function globalAddresses(): string[] {
  return Object.entries(networkInterfaces()).flatMap(([name, entries]) =>
    CONTAINER_BRIDGE.test(name)
      ? []
      : (entries ?? [])
          .filter((entry) => !entry.internal && !entry.address.startsWith('fe80'))
          .map((entry) => entry.address),
  );
}

/** The apps served here, their networks and what they open, as the last run left them. */
async function appsHere(): Promise<Facts['apps']> {
  const files = (await listIfThere(PATHS.ownership)).filter((name) => name.endsWith('.json'));
  const apps = await Promise.all(
    files.map(async (file) => {
      const app = file.slice(0, -'.json'.length);
      const owned = [...(await ownedBy(app)).values()];
      const subnet = owned.find(({ kind }) => kind === 'docker-network')?.footprint['subnet'];
      const rules = owned.filter(({ kind, footprint }) => kind === 'ufw-rule' && footprint['action'] === 'allow');
      const open = rules.map(({ footprint }) => {
        const { port, protocol, from } = footprint as Facts['apps'][string]['open'][number];
        return { port, protocol, from };
      });
      return [app, { open, ...(typeof subnet === 'string' ? { subnet } : {}) }] as const;
    }),
  );
  return Object.fromEntries(apps);
}

/** Of those that exclude each other, since each of them would set the clock. */
const TIME_DAEMONS = ['chrony', 'ntpsec', 'ntp', 'openntpd', 'systemd-timesyncd'];

async function timeDaemon(): Promise<string | undefined> {
  const there = await Promise.all(
    TIME_DAEMONS.map((name) =>
      access(`/usr/lib/systemd/system/${name}.service`).then(
        () => true,
        () => false,
      ),
    ),
  );
  return TIME_DAEMONS.find((_, index) => there[index] === true);
}

/** Whether one of the block devices is reached over USB: their links lead through the bus (sysfs). */
async function hasUsbDisk(): Promise<boolean> {
  const disks = await listIfThere('/sys/block');
  const ways = await Promise.all(disks.map((disk) => readlink(`/sys/block/${disk}`).catch(() => '')));
  return ways.some((way) => /\/usb\d+\//.test(way));
}

/** What this host is, read from files and the kernel alone: a fraction of what starting one program costs. */
export async function readFacts(): Promise<Facts> {
  const [os, disk, used, sockets, apps, virtualization, clock, usbDisk] = await Promise.all([
    osRelease(),
    statfs('/var'),
    networks(),
    listeners(),
    appsHere(),
    readTextIfThere('/run/systemd/container'),
    timeDaemon(),
    hasUsbDisk(),
  ]);
  // sudo drops SSH_CONNECTION; the session's wrapper hands it on under a name of our own.
  const [clientAddress, , , sshPort] = (process.env.SLIPWAY_SSH_CONNECTION ?? process.env.SSH_CONNECTION ?? '').split(
    ' ',
  );
  const port = sshPort === undefined ? undefined : Number(sshPort);
  const [listening, sshSocket] = await Promise.all([
    programsOn(sockets),
    port === undefined ? false : isSocketActivated(port, sockets),
  ]);
  return {
    hostname: hostname(),
    os,
    arch: DEBIAN_ARCH[arch()] ?? arch(),
    kernel: release(),
    cpus: cpus().length,
    memoryBytes: totalmem(),
    diskFreeBytes: disk.bavail * disk.bsize,
    clock: Date.now(),
    addresses: globalAddresses(),
    networks: used,
    container: virtualization !== undefined,
    ...(clock === undefined ? {} : { timeDaemon: clock }),
    ...(usbDisk ? { usbDisk } : {}),
    ...(clientAddress === undefined || clientAddress === '' ? {} : { clientAddress }),
    ...(port === undefined ? {} : { sshPort: port }),
    ...(sshSocket ? { sshSocket } : {}),
    listening,
    apps,
  };
}
