import { readFile, writeFile } from 'node:fs/promises';
import { run } from '#core/run';
import { must } from './must.ts';
import { STATE } from './places.ts';

export const BRIDGE = 'slipway0';

const SUBNET = '10.203.7.0/24';
const SUBNET6 = 'fd5a:203:7::/64';

/** The machine's own addresses on the bridge: every host's gateway. */
export const GATEWAY = { address: '10.203.7.1', address6: 'fd5a:203:7::1' } as const;

/** The numbers that hosts may have inside the /24; those below are kept for the machine and the internet host. */
export const HOST_NUMBERS = { first: 10, last: 250 } as const;

/** The number of the host that stands for the internet. */
export const INTERNET_NUMBER = 2;

/** Names whose number never changes, so that an inventory can be written for them: the demo's. */
export const FIXED_NUMBERS: Readonly<Record<string, number>> = { vps: 5 };

/** A host's two addresses by its number. */
export function addressesOf(number: number): { readonly address: string; readonly address6: string } {
  return { address: `10.203.7.${number}`, address6: `fd5a:203:7::${number.toString(16)}` };
}

// Hosts reach out, as behind a provider's NAT; nothing from outside reaches in, since a bare host may have a weak door.
// IPv6 stays inside: forwarding it would make this machine a router, which takes its own address from others no more.
const RULES = `
table inet slipway_sandbox
delete table inet slipway_sandbox
table inet slipway_sandbox {
  chain prerouting {
    type filter hook prerouting priority filter; policy accept;
    iifname "${BRIDGE}" ip6 daddr != { ${SUBNET6}, fe80::/10, ff00::/8 } reject with icmpv6 no-route
  }
  chain forward {
    type filter hook forward priority filter; policy accept;
    iifname "${BRIDGE}" tcp flags syn tcp option maxseg size set rt mtu
    oifname "${BRIDGE}" iifname != "${BRIDGE}" ct state new drop
  }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr ${SUBNET} oifname != "${BRIDGE}" masquerade
  }
}
`;

const FORWARDING = '/proc/sys/net/ipv4/ip_forward';
const FORWARDING_BEFORE = `${STATE}/ip-forward-before`;

async function exists(): Promise<boolean> {
  return (await run(['ip', 'link', 'show', 'dev', BRIDGE])).exitCode === 0;
}

async function switchForwardingOn(): Promise<void> {
  // Never overwritten: what is there tells how the machine was before any sandbox.
  await writeFile(FORWARDING_BEFORE, await readFile(FORWARDING), { flag: 'wx' }).catch(() => undefined);
  await writeFile(FORWARDING, '1');
}

async function restoreForwarding(): Promise<void> {
  const before = await readFile(FORWARDING_BEFORE, 'utf8').catch(() => '');
  if (before.trim() === '0') await writeFile(FORWARDING, '0');
}

// Where Docker or ufw runs on this machine, its own chain drops what is forwarded; an accept in another table cannot
// overrule that, only a rule in front of it can.
const PAST_OTHER_FIREWALLS = ['-i', '-o'].map((direction) => [
  ...['FORWARD', direction, BRIDGE, '-m', 'comment', '--comment', 'slipway sandbox', '-j', 'ACCEPT'],
]);

async function passOtherFirewalls(): Promise<void> {
  for (const tool of ['iptables', 'ip6tables']) {
    const policy = await run([tool, '-S', 'FORWARD']);
    if (!policy.stdout.startsWith('-P FORWARD DROP')) continue;
    for (const rule of PAST_OTHER_FIREWALLS) {
      const there = await run([tool, '-C', ...rule]);
      if (there.exitCode !== 0) await must([tool, '-I', ...rule], `let ${BRIDGE} through ${tool}`);
    }
  }
}

async function closeOtherFirewalls(): Promise<void> {
  for (const tool of ['iptables', 'ip6tables']) {
    for (const rule of PAST_OTHER_FIREWALLS) await run([tool, '-D', ...rule]);
  }
}

/** Makes the bridge, its addresses, forwarding and address translation, or mends what somebody took away of them. */
export async function ensureNetwork(): Promise<void> {
  await switchForwardingOn();
  await must(['nft', '-f', '-'], 'load its nftables rules', { input: RULES });
  await passOtherFirewalls();
  if (await exists()) return;
  await must(['ip', 'link', 'add', BRIDGE, 'type', 'bridge', 'forward_delay', '0'], `add the bridge ${BRIDGE}`);
  await must(['ip', 'address', 'add', `${GATEWAY.address}/24`, 'dev', BRIDGE], 'address its bridge');
  await must(['ip', '-6', 'address', 'add', `${GATEWAY.address6}/64`, 'dev', BRIDGE, 'nodad'], 'address its bridge');
  await must(['ip', 'link', 'set', BRIDGE, 'up'], 'start its bridge');
}

/** Takes all of it away again and puts the machine's forwarding back as it was. */
export async function removeNetwork(): Promise<void> {
  if (await exists()) await must(['ip', 'link', 'delete', BRIDGE], `remove the bridge ${BRIDGE}`);
  await run(['nft', 'delete', 'table', 'inet', 'slipway_sandbox']);
  await closeOtherFirewalls();
  await restoreForwarding();
}

/** Nameservers that hosts on the bridge can reach: the machine's own, past a stub that listens on loopback only. */
export async function machineNameservers(): Promise<readonly string[]> {
  for (const path of ['/etc/resolv.conf', '/run/systemd/resolve/resolv.conf']) {
    const servers = parseNameservers(await readFile(path, 'utf8').catch(() => ''));
    if (servers.length > 0) return servers;
  }
  return [];
}

/** The nameservers in a resolv.conf that are not on loopback. */
export function parseNameservers(resolvConf: string): readonly string[] {
  return resolvConf
    .split('\n')
    .map((line) => /^\s*nameserver\s+(\S+)/.exec(line)?.[1])
    .filter((server) => server !== undefined)
    .filter((server) => !server.startsWith('127.') && server !== '::1');
}
