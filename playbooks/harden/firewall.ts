import { isDeepStrictEqual } from 'node:util';
import { isIn, plainAddress } from '#core/ranges';
import type { FirewallRule } from '#inventory/environment';
import type { Control, ControlContext } from '#playbook/control';
import type { PlaybookContext, Warning } from '#playbook/playbook';
import { type Declared, nftTable, systemdUnit, ufw, ufwRule } from '#playbook/resources';

type Sources = 'any' | readonly string[];
/** What decides about the firewall: all that a playbook is told but its templates. */
type Context = ControlContext;

/** Where SSH comes in: where it is to move to, or else the port of this very connection. */
export function sshPort({ environment: { ssh, hosts }, host, facts }: Context): number {
  return ssh.port ?? facts.sshPort ?? hosts[host]?.port ?? 22;
}

/** This connection's own address, where the declared sources would shut it out. */
function outsider({ environment: { ssh }, facts: { clientAddress } }: Context): string | undefined {
  if (ssh.allowFrom === 'any' || clientAddress === undefined) return undefined;
  return isIn(clientAddress, ssh.allowFrom) ? undefined : plainAddress(clientAddress);
}

function sshSources(context: Context): Sources {
  const { allowFrom } = context.environment.ssh;
  const here = context.forceAllowFrom === true ? undefined : outsider(context);
  return allowFrom === 'any' || here === undefined ? allowFrom : [...allowFrom, here];
}

/** Said before anything is planned: that this connection's address stays let in, or is about to be shut out. */
export function firewallWarnings(context: Context): readonly Warning[] {
  const here = outsider(context);
  if (here === undefined) return [];
  if (context.forceAllowFrom === true) {
    return [
      {
        message: `This connection comes from ${here}, which \`ssh.allowFrom\` does not let in: it is the last one from there.`,
        hint: 'Connect from an allowed address from now on.',
      },
    ];
  }
  return [
    {
      message: `This connection comes from ${here}, which \`ssh.allowFrom\` does not let in. SSH stays open to that address until a run from an allowed one.`,
      hint: `Add ${here} to \`ssh.allowFrom\` in the inventory to keep it, or shut it out with \`--force-allow-from\`.`,
    },
  ];
}

interface OpenPort extends Pick<FirewallRule, 'protocol' | 'port'> {
  /** In nft(8)'s words; empty for any. */
  readonly source: string;
}

const WEB = [80, 443];

const each = (from: Sources): readonly string[] => (from === 'any' ? ['any'] : from);

const inNft = (source: string): string =>
  source === 'any' ? '' : `${source.includes(':') ? 'ip6' : 'ip'} saddr ${source}`;

/** What the other apps on this host let in: one table serves all of them. */
function openToOthers({ environment, facts }: Context) {
  return Object.entries(facts.apps).flatMap(([app, { open }]) => (app === environment.app ? [] : open));
}

/** What may come in from outside to a port that a container publishes. */
function openPorts(context: Context): readonly OpenPort[] {
  const own = context.environment.firewall.allow.flatMap(({ protocol, port, from }) =>
    each(from).map((source) => ({ protocol, port, from: source })),
  );
  const web = WEB.map((port) => ({ protocol: 'tcp' as const, port, from: 'any' }));
  const lines = [...web, ...own, ...openToOthers(context)].map(
    ({ protocol, port, from }): OpenPort => ({ protocol, port, source: inNft(from) }),
  );
  const differ = (line: OpenPort, at: number) => lines.findIndex((other) => isDeepStrictEqual(other, line)) === at;
  return lines.filter(differ);
}

/** The firewall's rules, SSH first, and only then the firewall; and what it cannot see: what containers publish. */
export function firewall(context: PlaybookContext): readonly Declared[] {
  const { allow } = context.environment.firewall;
  const port = sshPort(context);
  return [
    ...each(sshSources(context)).map((from) => ufwRule({ port, from, comment: 'ssh' })),
    ufwRule({ port: 80, comment: 'http' }),
    ufwRule({ port: 443, comment: 'https' }),
    ...allow.flatMap(({ port, protocol, from, comment = '' }) =>
      each(from).map((source) =>
        ufwRule({ port, protocol, from: source, comment: comment.replaceAll(/[^\w .:/@+-]/g, ' ') }),
      ),
    ),
    // Before ufw, so that the kernel already knows the open connection as one when the port it came in by is closed.
    nftTable({ name: 'slipway', rules: context.render('nftables/slipway.nft.hbs', { open: openPorts(context) }) }),
    ufw({ sshPorts: [port], shutsOut: context.forceAllowFrom === true }),
    systemdUnit({ name: 'nftables.service', dropIn: context.render('systemd/after-nftables.conf.hbs', {}) }),
  ];
}

const declaredTcp = (context: ControlContext): readonly string[] =>
  [
    sshPort(context),
    ...WEB,
    ...[...context.environment.firewall.allow, ...openToOthers(context)]
      .filter(({ protocol }) => protocol === 'tcp')
      .map(({ port }) => port),
  ].map(String);

const FIXED = 'Nothing: it is what keeps the host closed.';

/** What `deploy audit` asks about the firewall. */
export const firewallControls: readonly Control[] = [
  {
    id: 'firewall-active',
    title: 'the firewall is on',
    severity: 'critical',
    why: 'Whatever starts to listen would be open to everybody.',
    relax: FIXED,
    probe: 'firewall',
    check: () => ({ key: 'ufw', expect: { is: 'active' } }),
  },
  {
    id: 'firewall-boot',
    title: 'the firewall is on after a reboot',
    severity: 'critical',
    why: 'A host reboots when nobody is looking.',
    relax: FIXED,
    probe: 'firewall',
    check: () => ({ key: 'ufw-boot', expect: { is: 'enabled' } }),
  },
  {
    id: 'firewall-incoming',
    title: 'what no rule lets in stays out',
    severity: 'critical',
    why: 'A list of what is closed is never complete.',
    relax: '`firewall.allow` opens a port.',
    probe: 'firewall',
    check: () => ({ key: 'ufw-incoming', expect: { oneOf: ['deny', 'reject'] } }),
  },
  {
    id: 'firewall-routed',
    title: 'the host passes nothing on by default',
    severity: 'high',
    why: 'A host that routes for strangers leads them to what is behind it.',
    relax: '`ufw route allow` on the host, for what has to pass.',
    probe: 'firewall',
    check: () => ({ key: 'ufw-routed', expect: { oneOf: ['deny', 'reject', 'disabled'] } }),
  },
  {
    id: 'firewall-outgoing',
    title: 'the host reaches out',
    severity: 'low',
    why: 'Updates, certificates and images are fetched from outside.',
    relax: 'Accept it, where rules of your own let out what is needed.',
    probe: 'firewall',
    check: () => ({ key: 'ufw-outgoing', expect: { is: 'allow' } }),
  },
  {
    id: 'firewall-ipv6',
    title: 'the firewall looks after IPv6',
    severity: 'critical',
    why: 'Most hosts have an IPv6 address, and scanners know.',
    relax: FIXED,
    probe: 'firewall',
    check: () => ({ key: 'ufw-ipv6', expect: { is: 'yes' } }),
  },
  {
    id: 'firewall-containers',
    title: 'what a container publishes is closed unless declared',
    severity: 'critical',
    why: 'Docker lets it in before the firewall is asked.',
    relax: '`firewall.allow` opens a port.',
    probe: 'firewall',
    check: () => ({ key: 'nft:inet slipway', expect: { is: 'as-loaded' } }),
  },
  {
    id: 'outside-tcp4',
    title: 'nothing but what is declared answers over IPv4',
    severity: 'critical',
    why: 'What answers is what counts, whatever the rules say.',
    relax: '`firewall.allow` opens a port.',
    probe: 'outside',
    check: (context) =>
      context.facts.addresses.some((address) => !address.includes(':'))
        ? { key: 'open-tcp4', expect: { within: declaredTcp(context) } }
        : undefined,
  },
  {
    id: 'outside-tcp6',
    title: 'nothing but what is declared answers over IPv6',
    severity: 'critical',
    why: 'A port that is closed over IPv4 alone is open.',
    relax: '`firewall.allow` opens a port.',
    probe: 'outside',
    check: (context) =>
      context.facts.addresses.some((address) => address.includes(':'))
        ? { key: 'open-tcp6', expect: { within: declaredTcp(context) } }
        : undefined,
  },
];
