import { copyFileSync, cpSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { run } from '#core/run';
import type { SandboxHost } from '#sandbox/sandbox';
import { ROOT } from './built.ts';
import { type Timing, timed } from './measure.ts';
import type { Project, Way } from './project.ts';

const INSTALL = 'apt-get install --no-install-recommends ansible';

/** Which Ansible there is; throws with the command that installs it where there is none. */
export async function ansibleVersion(): Promise<string> {
  const output = await run(['ansible-playbook', '--version']).catch(() => undefined);
  const version = /core ([\d.]+)/.exec(output?.stdout ?? '')?.[1];
  if (version !== undefined) return version;
  throw new Error(`The peer is missing here. Install it with: ${INSTALL}`);
}

const SLOT = 'blue';

const FIXED = [
  '/etc/sudoers.d/slipway-deploy',
  '/etc/ssh/sshd_config.d/00-slipway.conf',
  '/usr/local/lib/slipway/knows-address',
  '/etc/fail2ban/jail.d/DEFAULT.local',
  '/etc/fail2ban/jail.d/sshd.local',
  '/etc/apt/apt.conf.d/52slipway',
  '/etc/needrestart/conf.d/50-slipway.conf',
  '/etc/sysctl.d/99-zz-slipway.conf',
  '/etc/sysctl.d/99-zz-slipway-redis.conf',
  '/etc/systemd/journald.conf.d/50-slipway.conf',
  '/etc/slipway/nftables/slipway.nft',
  '/etc/systemd/system/slipway-nft-slipway.service',
  '/etc/docker/daemon.json',
  '/etc/logrotate.d/slipway-bench',
  '/etc/cron.d/slipway-renew',
];

const DIRECTORIES = ['/etc/slipway', '/var/lib/slipway/acme', '/srv/bench/postgres', '/srv/bench/redis'];

/** What a path is on the host, in Ansible's words; owners by number, since containers number them their own way. */
function attributes(host: SandboxHost, path: string) {
  const { mode, uid, gid } = statSync(join(host.tree, path));
  return { path, mode: (mode & 0o7777).toString(8).padStart(4, '0'), owner: String(uid), group: String(gid) };
}

function filesBelow(host: SandboxHost, folder: string): readonly string[] {
  return readdirSync(join(host.tree, folder), { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && entry.name !== '.slipway-started.json')
    .map((entry) => join(entry.parentPath, entry.name).slice(host.tree.length));
}

/** The packages that Slipway was asked for, by what it remembers of them. */
function packagesOn(host: SandboxHost): readonly string[] {
  const text = readFileSync(join(host.tree, '/var/lib/slipway/ownership/bench.json'), 'utf8');
  const owned = JSON.parse(text) as readonly { readonly kind: string; readonly id: string }[];
  return owned.filter(({ kind }) => kind === 'apt-package').map(({ id }) => id);
}

/**
 * Writes the peer's project into a folder: the playbook, and as its files those that stand on a host which Slipway has
 * brought up, so that both tools find nothing to do on the same host.
 */
export function makePeer(folder: string, host: SandboxHost): void {
  mkdirSync(folder, { recursive: true });
  copyFileSync(join(ROOT, 'test', 'bench', 'peer', 'playbook.yml'), join(folder, 'playbook.yml'));
  const releases = '/var/lib/slipway/releases/bench';
  const [release = ''] = readdirSync(join(host.tree, releases), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => join(releases, name));
  const releaseFiles = filesBelow(host, release).filter((path) => !path.startsWith(join(release, 'green')));
  const nginxFiles = [
    ...['conf.d/00-slipway.conf', 'snippets/slipway-tls.conf', 'snippets/slipway-proxy.conf'],
    ...['sites-enabled/bench.conf', 'sites-enabled/bench.sandbox.test.conf'],
  ].map((name) => `/etc/nginx/${name}`);
  const projects = ['postgres', 'pgbouncer', 'redis'].map((name) => `/etc/slipway/apps/bench/${name}`);
  const settings = projects.flatMap((project) => filesBelow(host, project));
  for (const path of [...FIXED, ...nginxFiles, ...settings, ...releaseFiles]) {
    mkdirSync(join(folder, 'files', dirname(path)), { recursive: true });
    cpSync(join(host.tree, path), join(folder, 'files', path));
  }
  const variables = {
    packages: packagesOn(host),
    directories: DIRECTORIES.map((path) => attributes(host, path)),
    key: readFileSync(`${host.keyFile}.pub`, 'utf8').trim(),
    open_ports: [
      { port: 22, comment: 'ssh' },
      { port: 80, comment: 'http' },
      { port: 443, comment: 'https' },
    ],
    nginx_files: nginxFiles,
    // Only asked for where the network is missing, which it is not.
    subnet: '172.29.0.0/24',
    settings: settings.map((path) => attributes(host, path)),
    projects,
    release: join(release, SLOT),
    release_files: releaseFiles,
    certificate: '/etc/slipway/certificates/bench.sandbox.test/current/fullchain.pem',
  };
  writeFileSync(join(folder, 'vars.json'), JSON.stringify(variables, undefined, 1));
}

/** Runs the playbook over one way to the host; rejects where anything failed or, unless it is to settle, was changed. */
export async function runPeer(
  folder: string,
  way: Way,
  user: string,
  project: Project,
  expect: 'no change' | 'settle' = 'no change',
): Promise<Timing> {
  const hosts = join(folder, `hosts-${way.address}`);
  const settings = [
    `ansible_host=${way.address}`,
    `ansible_user=${user}`,
    `ansible_ssh_private_key_file=${way.keyFile}`,
    // Named, so that looking for it costs nothing.
    'ansible_python_interpreter=/usr/bin/python3',
  ];
  writeFileSync(hosts, `${way.name} ${settings.join(' ')}\n`);
  const ssh = [
    ...['ControlMaster=auto', 'ControlPersist=60s', `ControlPath=${folder}/%C`, 'IdentitiesOnly=yes'],
    `UserKnownHostsFile=${project.knownHosts}`,
  ];
  const timing = await timed(['ansible-playbook', '--inventory', hosts, 'playbook.yml'], {
    cwd: folder,
    env: {
      ANSIBLE_PIPELINING: 'True',
      ANSIBLE_SSH_ARGS: ssh.map((option) => `-o ${option}`).join(' '),
      ANSIBLE_LOCAL_TEMP: join(folder, 'tmp'),
      ANSIBLE_HOME: join(folder, 'home'),
    },
  });
  if (expect === 'no change' && !/changed=0 /.test(timing.output))
    throw new Error(`The peer found something to do:\n${timing.output}`);
  return timing;
}

/** How many tasks and, counted with their loops, how many steps a run of the peer had. */
export function countTasks(output: string): { readonly tasks: number; readonly steps: number } {
  return {
    tasks: output.match(/^TASK \[/gm)?.length ?? 0,
    steps: output.match(/^(ok|skipping|changed): \[/gm)?.length ?? 0,
  };
}
