import { isIP } from 'node:net';
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

export interface Range {
  readonly v6: boolean;
  readonly address: bigint;
  readonly bits: number;
}

function toNumber(address: string, v6: boolean): bigint {
  if (!v6) return address.split('.').reduce((sum, part) => sum * 256n + BigInt(part), 0n);
  // The tail may be written as an IPv4 address.
  const [, head = '', tail] = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(address) ?? [];
  const low = tail === undefined ? undefined : toNumber(tail, false);
  const text = low === undefined ? address : `${head}${(low >> 16n).toString(16)}:${(low & 0xffffn).toString(16)}`;
  const [left = '', right] = text.split('::');
  const groups = (half: string) => (half === '' ? [] : half.split(':'));
  const front = groups(left);
  const back = groups(right ?? '');
  const zeros: string[] = Array.from({ length: 8 - front.length - back.length }, () => '0');
  return [...front, ...zeros, ...back].reduce((sum, group) => sum * 65_536n + BigInt(`0x${group}`), 0n);
}

/** A network from an address or CIDR, its host bits cleared; undefined where it is neither. */
export function parseRange(text: string): Range | undefined {
  const [address = '', length] = text.split('/');
  const family = isIP(address);
  if (family === 0 || (length !== undefined && !/^\d{1,3}$/.test(length))) return undefined;
  const v6 = family === 6;
  const width = v6 ? 128 : 32;
  const bits = length === undefined ? width : Number(length);
  if (bits > width) return undefined;
  const host = BigInt(width - bits);
  return { v6, bits, address: (toNumber(address, v6) >> host) << host };
}

/** Whether the first network holds all of the second. */
export function contains(outer: Range, inner: Range): boolean {
  if (outer.v6 !== inner.v6 || outer.bits > inner.bits) return false;
  const shift = BigInt((outer.v6 ? 128 : 32) - outer.bits);
  return outer.address >> shift === inner.address >> shift;
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
  const source = client === undefined ? undefined : parseRange(client.replace(/^::ffff:(?=\d+\.)/, ''));
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
