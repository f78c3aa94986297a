import { contains, parseRange, plainAddress } from '#core/ranges';
import type { Host } from '#resources/resource';

/** What marks a firewall rule as ours. */
export const TAG = 'slipway:';

/** Policies and whether ufw looks after IPv6. */
export const DEFAULTS = '/etc/default/ufw';

export interface Rule {
  readonly action: string;
  readonly route: boolean;
  readonly protocol: string;
  /** Where packets go to: a port, a range, a list, or `any`. */
  readonly port: string;
  readonly to: string;
  readonly fromPort: string;
  readonly from: string;
  /** `in`, `out`, or with an interface as `in_eth0`. */
  readonly direction: string;
  /** The application profile it was made from. */
  readonly application: boolean;
  readonly comment: string;
  readonly v6: boolean;
}

const decode = (hex: string): string => Buffer.from(hex, 'hex').toString();

/** The rules in one of ufw's own rule files, in the order in which they are tried. */
export function parseRules(text: string, v6: boolean): readonly Rule[] {
  return [...text.matchAll(/^### tuple ### (.+)$/gm)].flatMap(([, line = '']): readonly Rule[] => {
    const [tuple = '', comment = ''] = line.trim().split(/\s+comment=/);
    const words = tuple.trim().split(/\s+/);
    const [what = '', protocol = '', port = '', to = '', fromPort = '', from = ''] = words;
    const direction = words.at(-1);
    // With an application profile two names stand before the direction.
    if (direction === undefined || (words.length !== 7 && words.length !== 9)) return [];
    const route = what.startsWith('route:');
    const action = what.replace('route:', '').replace(/_log(-all)?$/, '');
    const application = words.length === 9;
    return [
      { action, route, protocol, port, to, fromPort, from, direction, application, comment: decode(comment), v6 },
    ];
  });
}

const EVERYWHERE = new Set(['0.0.0.0/0', '::/0']);

/** Whether two sources are the same addresses however they are written. */
export function sameSource(one: string, other: string): boolean {
  if (EVERYWHERE.has(one) || EVERYWHERE.has(other)) return EVERYWHERE.has(one) && EVERYWHERE.has(other);
  const [a, b] = [parseRange(one), parseRange(other)];
  return a !== undefined && b !== undefined && contains(a, b) && contains(b, a);
}

function coversPort(ports: string, port: number): boolean {
  if (ports === 'any') return true;
  return ports.split(',').some((part) => {
    const [low, high] = part.split(':').map(Number);
    return low !== undefined && low <= port && port <= (high ?? low);
  });
}

/** Whether, by the first rule that speaks of it, somebody at an address (anywhere, where none is given) reaches a TCP port. */
export function letsIn(rules: readonly Rule[], port: number, client: string | undefined): boolean {
  const source = client === undefined ? undefined : parseRange(plainAddress(client));
  const first = rules.find((rule) => {
    if (rule.route || rule.direction !== 'in' || rule.fromPort !== 'any') return false;
    if (rule.protocol !== 'tcp' && rule.protocol !== 'any') return false;
    if (!coversPort(rule.port, port) || !EVERYWHERE.has(rule.to)) return false;
    if (source === undefined) return rule.action === 'allow' || rule.action === 'limit';
    const from = parseRange(rule.from);
    return from !== undefined && contains(from, source);
  });
  return first?.action === 'allow' || first?.action === 'limit';
}

/** What ufw has on file and what the kernel really enforces. */
export interface Ufw {
  readonly rules: readonly Rule[];
  /** Keys of /etc/ufw/ufw.conf and /etc/default/ufw. */
  readonly settings: Readonly<Record<string, string>>;
  /** Whether the kernel can do IPv6 at all. */
  readonly ipv6: boolean;
}

/** Keys and values of a shell-like settings file; a later line wins. */
export function parseSettings(text: string): Readonly<Record<string, string>> {
  const pairs = [...text.matchAll(/^[ \t]*([A-Z_0-9]+)=["']?([^"'#\n]*)["']?/gm)];
  return Object.fromEntries(pairs.map(([, key = '', value = '']) => [key, value.trim()]));
}

/** ufw's own files, read once for all rules; undefined where ufw is not installed. */
export function readUfw(host: Host): Promise<Ufw | undefined> {
  return host.once('ufw', async () => {
    const paths = ['/etc/ufw/user.rules', '/etc/ufw/user6.rules', '/etc/ufw/ufw.conf', DEFAULTS];
    const [v4, v6, conf, defaults] = await Promise.all(paths.map((path) => host.readFile(path)));
    if (v4 === undefined || conf === undefined || !(await host.has('ufw'))) return undefined;
    return {
      rules: [...parseRules(v4, false), ...parseRules(v6 ?? '', true)],
      settings: { ...parseSettings(defaults ?? ''), ...parseSettings(conf) },
      ipv6: (await host.stat('/proc/sys/net/ipv6')) !== undefined,
    };
  });
}
