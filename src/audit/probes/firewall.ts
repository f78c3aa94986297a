import type { Found, HostProbe } from '#audit/audit';
import { tableInKernel } from '#resources/nft-table';
import type { Host } from '#resources/resource';
import { missingInKernel } from '#resources/ufw-kernel';
import { DEFAULTS, readUfw, type Ufw } from '#resources/ufw-rules';

const CONF = '/etc/ufw/ufw.conf';
const BOOT = '/etc/systemd/system/multi-user.target.wants/ufw.service';
const CHAINS: Readonly<Record<string, string>> = {
  'ufw-incoming': 'INPUT',
  'ufw-outgoing': 'OUTPUT',
  'ufw-routed': 'FORWARD',
};

/** What is so without ufw. */
const WITHOUT: Readonly<Record<string, string>> = { ufw: 'inactive', 'ufw-boot': 'disabled', 'ufw-ipv6': 'no' };

/** What happens to packets that no rule speaks of, from `iptables-save -t filter`: `deny`, `reject` or `allow`. */
export function policyOf(saved: string, chain: string): string | undefined {
  const policy = new RegExp(`^:${chain} (\\w+)`, 'm').exec(saved)?.[1];
  if (policy === undefined) return undefined;
  const rejects = new RegExp(`^-A ufw6?-reject-${chain.toLowerCase()} -j REJECT`, 'm').test(saved);
  return rejects ? 'reject' : policy === 'DROP' ? 'deny' : 'allow';
}

async function save(host: Host, v6: boolean): Promise<string> {
  return (await host.run([v6 ? 'ip6tables-save' : 'iptables-save', '-t', 'filter'])).stdout;
}

async function isLoaded(host: Host, saved: string, v6: boolean): Promise<boolean> {
  const rules = await host.readFile(v6 ? '/etc/ufw/user6.rules' : '/etc/ufw/user.rules');
  return missingInKernel(saved, rules ?? '', v6).length === 0;
}

async function aboutUfw(host: Host, ufw: Ufw, keys: readonly string[]): Promise<ReadonlyMap<string, Found>> {
  const [v4, v6, boot] = await Promise.all([
    save(host, false),
    ufw.ipv6 ? save(host, true) : undefined,
    host.stat(BOOT),
  ]);
  const families = v6 === undefined ? [v4] : [v4, v6];
  const [inForce, inForce6] = await Promise.all([
    isLoaded(host, v4, false),
    v6 === undefined ? undefined : isLoaded(host, v6, true),
  ]);
  const answers: Record<string, Found> = {
    ufw: { value: inForce ? 'active' : 'inactive', from: CONF },
    'ufw-ipv6':
      inForce6 === undefined
        ? { cannot: 'the kernel of this host has no IPv6' }
        : { value: inForce6 ? 'yes' : 'no', from: DEFAULTS },
    'ufw-boot': { value: boot !== undefined && ufw.settings['ENABLED'] === 'yes' ? 'enabled' : 'disabled', from: CONF },
  };
  for (const [key, chain] of Object.entries(CHAINS)) {
    const policies = new Set(families.map((saved) => policyOf(saved, chain) ?? 'allow'));
    answers[key] = { value: [...policies].join(','), from: DEFAULTS };
  }
  return new Map(keys.map((key) => [key, answers[key] ?? { cannot: `an audit knows nothing of \`${key}\`` }]));
}

async function aboutTable(host: Host, key: string): Promise<Found> {
  const [family = '', name = ''] = key.slice('nft:'.length).split(' ');
  const value = await tableInKernel(host, { family: family as 'inet', name });
  return { value, from: `/etc/slipway/nftables/${name}.nft` };
}

/** Keys are `ufw` and what begins with it, and `nft:<family> <table>`. */
export const firewall: HostProbe = {
  name: 'firewall',
  async ask(host, keys) {
    const tables = keys.filter((key) => key.startsWith('nft:'));
    const rest = keys.filter((key) => !key.startsWith('nft:'));
    const ufw = await readUfw(host);
    const [about, found] = await Promise.all([
      ufw === undefined
        ? new Map(rest.map((key) => [key, { value: WITHOUT[key] ?? 'allow' }]))
        : aboutUfw(host, ufw, rest),
      Promise.all(tables.map(async (key) => [key, await aboutTable(host, key)] as const)),
    ]);
    return new Map<string, Found>([...about, ...found]);
  },
};
