import { isIP } from 'node:net';

/** A network, as a number and the bits of it that count. */
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

/** An address as sshd writes it, plainly: without the interface of a link-local one, IPv4 as such where it came in through IPv6. */
export function plainAddress(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.)/, '').replace(/%.*$/, '');
}

/** Whether one of the networks holds an address. */
export function isIn(address: string, networks: readonly string[]): boolean {
  const inner = parseRange(plainAddress(address));
  if (inner === undefined) return false;
  return networks.some((network) => {
    const outer = parseRange(network);
    return outer !== undefined && contains(outer, inner);
  });
}
