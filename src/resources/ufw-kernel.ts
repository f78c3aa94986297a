import type { Host } from '#resources/resource';
import { DEFAULTS, type Ufw } from '#resources/ufw-rules';

const BUILTIN = ['input', 'output', 'forward'] as const;
const STAGES = ['before-logging', 'before', 'after', 'after-logging', 'reject', 'track'] as const;

const prefixOf = (v6: boolean): string => (v6 ? 'ufw6' : 'ufw');

/** The rules by which packets of a built-in chain pass through ufw's own chains, in order. */
function jumps(builtin: (typeof BUILTIN)[number], v6: boolean): readonly string[] {
  return STAGES.map((stage) => `${builtin.toUpperCase()} -j ${prefixOf(v6)}-${stage}-${builtin}`);
}

/** What ufw needs in the kernel and is not there, from `iptables-save -t filter` and the user rules on file. */
export function missingInKernel(saved: string, userRules: string, v6: boolean): readonly string[] {
  const family = v6 ? 'IPv6' : 'IPv4';
  const lines = saved.split('\n');
  const there = new Set(lines);
  const all = BUILTIN.flatMap((builtin) => jumps(builtin, v6));
  if (all.some((jump) => !there.has(`-A ${jump}`))) return [`${family} packets do not pass through it`];
  const rule = `-A ${prefixOf(v6)}-user-input `;
  const count = (text: readonly string[]) => text.filter((line) => line.startsWith(rule)).length;
  const [loaded, wanted] = [count(lines), count(userRules.split('\n'))];
  return loaded === wanted ? [] : [`${loaded} of ${wanted} ${family} rules in the kernel`];
}

const families = ({ ipv6, settings }: Ufw): readonly boolean[] =>
  ipv6 && settings['IPV6'] === 'yes' ? [false, true] : [false];

async function save(host: Host, v6: boolean): Promise<string> {
  return (await host.run([v6 ? 'ip6tables-save' : 'iptables-save', '-t', 'filter'])).stdout;
}

/** What an enabled ufw needs in the kernel and is not there: a few words each. */
export async function readKernel(host: Host, ufw: Ufw): Promise<readonly string[]> {
  if (ufw.settings['ENABLED'] !== 'yes') return [];
  const missing = await Promise.all(
    families(ufw).map(async (v6) => {
      const rules = host.readFile(v6 ? '/etc/ufw/user6.rules' : '/etc/ufw/user.rules');
      return missingInKernel(await save(host, v6), (await rules) ?? '', v6);
    }),
  );
  return missing.flat();
}

/** The input for `iptables-restore --noflush` that brings ufw's jumps back; undefined where none is missing. */
export function jumpRepair(saved: string, v6: boolean): string | undefined {
  const there = new Set(saved.split('\n'));
  if (![...there].some((line) => line.startsWith(`:${prefixOf(v6)}-before-logging-input `))) return undefined;
  const lines = BUILTIN.flatMap((builtin) => {
    const all = jumps(builtin, v6);
    const present = all.filter((jump) => there.has(`-A ${jump}`));
    if (present.length === all.length) return [];
    return [...present.map((jump) => `-D ${jump}`), ...all.map((jump) => `-A ${jump}`)];
  });
  return lines.length === 0 ? undefined : `*filter\n${lines.join('\n')}\nCOMMIT\n`;
}

/**
 * Brings back the jumps into ufw's chains where the chains are there without them. ufw itself makes them only together
 * with its chains, which it keeps when disabled: after `iptables -F` it would deny everything to everybody (0.36.2).
 */
export async function repairJumps(host: Host, { ipv6 }: Pick<Ufw, 'ipv6'>): Promise<void> {
  for (const v6 of ipv6 ? [false, true] : [false]) {
    const input = jumpRepair(await save(host, v6), v6);
    if (input !== undefined) await host.must([v6 ? 'ip6tables-restore' : 'iptables-restore', '--noflush'], { input });
  }
}

/** Has ufw look after IPv6 too: until then it drops all of it and takes no rules for it. */
export async function turnOnIpv6(host: Host, ufw: Ufw): Promise<void> {
  const { settings, ipv6 } = ufw;
  if (!ipv6 || settings['IPV6'] === 'yes') return;
  const [text, stat] = await Promise.all([host.readFile(DEFAULTS), host.stat(DEFAULTS)]);
  const rest = (text ?? '').replace(/^[ \t]*IPV6=.*\n?/gm, '');
  const { mode = '0644', owner = 'root', group = 'root' } = stat ?? {};
  await host.writeFile(DEFAULTS, `IPV6=yes\n${rest}`, { mode, owner, group });
  if (settings['ENABLED'] !== 'yes') return;
  await repairJumps(host, ufw);
  await host.must(['ufw', 'reload']);
}
