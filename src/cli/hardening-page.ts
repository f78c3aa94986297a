import type { Environment } from '#inventory/environment';
import { resolveEnvironment } from '#inventory/resolve';
import { inventory } from '#inventory/schema';
import { type Check, type Control, type ControlContext, expectationText } from '#playbook/control';
import { AREAS, CONTROLS } from '#playbooks/controls';
import type { Probe } from '#protocol/audit';
import type { Facts } from '#protocol/facts';

const KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExampleExampleExampleExampleExampleExample01 ana@laptop';

/** What a probe asks, in the words of the tool behind it. */
const ASKED: Readonly<Record<Probe, (key: string) => string>> = {
  account: (key) => `passwd, shadow, groups and sudo: ${key}`,
  apt: (key) => `\`apt-config dump ${key}\``,
  docker: (key) => `\`docker info\` and the engine's configuration: \`${key}\``,
  fail2ban: (key) => `\`fail2ban-client\`: ${key}`,
  file: (key) => `\`stat ${key}\``,
  firewall: (key) => `the packet filter in the kernel: ${key}`,
  login: (key) => `a login that is tried on the host: ${key}`,
  module: (key) => `\`modprobe --dry-run ${key}\``,
  outside: (key) => `a scan from your own machine: ${key}`,
  service: (key) => `\`systemctl show ${key}\``,
  sshd: (key) => `\`sshd -T\`: \`${key}\``,
  sysctl: (key) => `\`sysctl ${key}\``,
  systemd: (key) => `systemd's configuration with all drop-ins: \`${key}\``,
  tool: (key) => `\`${key}\`, where it is installed`,
};

/** An inventory that declares little, with every option on that costs something. */
function exampleEnvironment(): Environment {
  const declared = inventory.parse({
    app: 'shop',
    hosts: { web: { address: '203.0.113.10' } },
    services: { web: { image: 'ghcr.io/acme/shop:1.4.2' } },
    routes: { 'shop.example.com': 'web:3000' },
    harden: { auditd: true, swap: '2gb' },
    proxy: { rateLimit: { perSecond: 20 } },
  });
  return resolveEnvironment(declared, {
    name: 'prod',
    directory: '/project',
    files: {
      authorizedKeys: [KEY],
      ca: undefined,
      backupCa: undefined,
      backupIdentity: undefined,
      maintenancePage: undefined,
    },
    secrets: {},
    warnings: [],
  });
}

const FACTS: Facts = {
  hostname: 'web',
  os: { id: 'debian', version: '13', codename: 'trixie', name: 'Debian GNU/Linux 13 (trixie)' },
  arch: 'amd64',
  kernel: '6.12.0',
  cpus: 2,
  memoryBytes: 4 * 1024 ** 3,
  diskFreeBytes: 40 * 1024 ** 3,
  clock: 1_800_000_000_000,
  addresses: ['203.0.113.10', '2001:db8::10'],
  networks: ['203.0.113.0/24'],
  container: false,
  sshPort: 22,
  listening: [],
  apps: {},
};

/** What the page's figures are for. */
export function exampleContext(): ControlContext {
  return { environment: exampleEnvironment(), host: 'web', facts: FACTS };
}

const HEAD = `# Hardening

What \`deploy up\` makes of a bare host, and what \`deploy audit\` looks up afterwards: ${CONTROLS.length} controls, each declared in the
playbooks beside the resource that brings it about. Written by \`npm run docs\` from the playbooks' own tables; a test keeps
the two equal. The values are those of an inventory that declares an app and a route, with \`harden.auditd\`,
\`harden.swap\` and \`proxy.rateLimit\` switched on, on Debian 13 with one network.

A control is read from the running system, never from the file that was written. Of a file that is listed as such, the audit
looks at its being there, its mode and its owner; its content is what \`deploy plan\` compares. Where a finding is wanted, say why:

\`\`\`yaml
audit:
  accept:
    ssh-allow-tcp-forwarding: the tunnel to the database
\`\`\`

## What is not set, and why

Hardening guides set these. Slipway does not, and undoes none of them where you have.

| not set | what it would break |
|---|---|
| \`net.ipv4.ip_forward=0\`, \`net.ipv6.conf.all.forwarding=0\` | containers reach nothing, and nothing reaches them |
| \`net.ipv6.conf.*.accept_ra=0\`, \`autoconf=0\`, \`max_addresses=1\`, \`dad_transmits=0\`, \`router_solicitations=0\` | IPv6 addresses that a provider hands out by router advertisement are gone |
| \`user.max_user_namespaces=0\`, \`kernel.unprivileged_userns_clone=0\` | rootless containers, and the sandboxes of browsers and build tools |
| \`kernel.modules_disabled=1\` | Docker, the firewall and WireGuard load theirs when they need them |
| \`net.ipv4.tcp_timestamps=0\` | fast links lose protection against wrapped sequence numbers, and gain nothing |
| blocks of \`vfat\`, \`squashfs\`, \`overlay\` | booting by EFI, snaps, containers |
| \`hidepid\` on /proc | systemd-logind and polkit no longer see who asks |
| limits of open files and processes | databases and proxies at their first busy hour |
| a stricter umask for everybody | programs of packages and containers cannot read what was just written for them |
| a maximum age of passwords | an account whose password has expired is refused by PAM, even where it logs in by key |
| \`noexec\` on /tmp | installation scripts of packages |
| removing setuid from \`ping\` and \`su\`, removing git or rsync | what the owner expects to be there |
| ending processes at logout, ending idle shells | \`tmux\`, and work of hours |
| locking root's password | the console of the provider is the last way in; SSH takes no password from anybody |
| \`AllowUsers\`, \`AllowGroups\`, \`ListenAddress\` | whoever is not thought of is locked out, over IPv6 for one |
| a port other than 22, two sessions a connection | log noise is all that it spares, and several channels share a connection; \`ssh.port\` moves sshd |
| new host keys, a rewritten moduli file | every \`known_hosts\` file breaks; group exchange is not offered, so moduli are not used |
| outgoing traffic denied | certificates, images, updates and mail, one forgotten port at a time |
| \`userns-remap\`, \`icc: false\` of Docker | volumes change owners; containers that were there before find each other no more |
| root filesystem scanners, virus scanners, USBGuard | nothing, and they protect a server from little: they cost memory and cry wolf |

Kernel modules are blocked for those who do without them; \`usb-storage\` is not where a disk hangs on USB. Azure hands its
settings out on a UDF disk: there, and where a program of yours speaks SCTP, name them in \`harden.allowModules\`.

## Systems

Debian 12 and 13 are run for real at every test: all of this converges there, and a second run changes nothing.
**Nothing of Ubuntu has been run.** What sets Ubuntu 22.04 and 24.04 apart was reproduced on Debian where it could be:

| Ubuntu's difference | |
|---|---|
| sshd started by ssh.socket | reproduced: the socket in place of the service, with its port moved |
| cloud-init's \`50-cloud-init.conf\` that allows passwords, and others that sort early | reproduced |
| needrestart that asks in the middle of an installation | reproduced: the same package, told never to ask |
| cloud-init still running, package lists locked at the first minute | reproduced |
| its archive, its names in unattended-upgrades, ESM | not reproduced: the list of origins is written from its documentation |
| AppArmor's restriction of user namespaces, snaps | not reproduced; nothing here touches them |
| apport, which takes memory images over at its start | not reproduced: \`deploy audit\` shows it as \`kernel-core-pattern\` |
| /etc/issue, which changes with each point release | left alone there, so that its update is not held back |
`;

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ');

/** A sentence for a table, however it was written. */
function phrase(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}`.replace(/\.$/, '');
}

function row({ id, title, severity, why, relax, probe }: Control, check: Check): string {
  const cells = [
    `\`${id}\`<br>${phrase(title)}`,
    `\`${expectationText(check.expect)}\``,
    why,
    ASKED[probe](check.key),
    severity,
    phrase(relax),
  ];
  return `| ${cells.map(cell).join(' | ')} |`;
}

/** The documentation's page of controls, from the tables that the playbooks and `deploy audit` use. */
export function hardeningPage(): string {
  const context = exampleContext();
  const areas = AREAS.map(({ title, controls }) => {
    const rows = controls.flatMap((control) => {
      const check = control.check(context);
      return check === undefined ? [] : [row(control, check)];
    });
    const head = '| control | value | why | checked by | severity | relaxed by |\n|---|---|---|---|---|---|';
    return `## ${title}\n\n${head}\n${rows.join('\n')}\n`;
  });
  return `${HEAD}\n${areas.join('\n')}`;
}
