import { isIP, isIPv4 } from 'node:net';
import { domainToASCII } from 'node:url';

/** `60s`, `5m`, `1h`, `30d`: what `parseDuration` understands, with whole numbers. */
export const DURATION = /^\d+(?:ms|s|m|h|d|w)$/;

/** A duration as the Compose specification writes it: `30s`, `1m30s`. */
export const COMPOSE_DURATION = /^(?:\d+(?:us|ms|s|m|h))+$/;

/** `512mb`, `16m`, `1.5g`: what `parseSize` understands. */
export const SIZE = /^\d+(?:\.\d+)?(?:b|kb?|mb?|gb?|tb?)$/i;

/** Names of apps, services and accessories: they become parts of container, network and file names. */
export const NAME = /^[a-z][a-z0-9-]{0,30}$/;

/** Names of environment variables (POSIX, 8.1, lower case allowed). */
export const VARIABLE = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** Linux user names as Debian's adduser accepts them by default. */
export const USER = /^[a-z_][a-z0-9_-]{0,31}$/;

const COMPONENT = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*';

/** An image reference (github.com/distribution/reference): registry, path, tag, digest. */
export const IMAGE = new RegExp(
  `^(?:[A-Za-z0-9.-]+(?::\\d+)?/)?${COMPONENT}(?:/${COMPONENT})*(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@sha256:[0-9a-f]{64})?$`,
);

/** Whether an image reference pins neither tag nor digest, and so means `latest`. */
export function isUntagged(image: string): boolean {
  return !image.includes('@') && !image.slice(image.lastIndexOf('/') + 1).includes(':');
}

function bitsOf(address: string): bigint {
  if (isIPv4(address)) return address.split('.').reduce((bits, octet) => (bits << 8n) | BigInt(octet), 0n);
  const mapped = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(address);
  const hex =
    mapped === null
      ? address
      : `${mapped[1]}${(bitsOf(mapped[2] ?? '') >> 16n).toString(16)}:${(bitsOf(mapped[2] ?? '') & 0xffffn).toString(16)}`;
  const [head = '', tail] = hex.split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const groups = [...left, ...Array<string>(8 - left.length - right.length).fill('0'), ...right];
  return groups.reduce((bits, group) => (bits << 16n) | BigInt(`0x${group}`), 0n);
}

/** Why a text is no address or network (`203.0.113.7`, `10.0.0.0/8`, `2001:db8::/32`); undefined where it is one. */
export function networkFault(text: string): string | undefined {
  const [address = '', prefix, ...rest] = text.split('/');
  const width = { 0: undefined, 4: 32, 6: 128 }[isIP(address)];
  if (width === undefined || rest.length > 0 || address.includes('%')) {
    return `"${text}" is no address or network; write it like 203.0.113.7 or 203.0.113.0/24`;
  }
  if (prefix === undefined) return undefined;
  if (!/^\d{1,3}$/.test(prefix) || Number(prefix) > width) {
    return `"${text}" has an impossible prefix; it goes from /0 to /${width}`;
  }
  const hostBits = bitsOf(address) & ((1n << BigInt(width - Number(prefix))) - 1n);
  return hostBits === 0n ? undefined : `"${text}" names a host inside a network; clear the bits after /${prefix}`;
}

/** A domain in the one spelling it is compared and configured in: lower case, punycode, no trailing dot. */
export function canonicalDomain(text: string): string {
  const bare = text.endsWith('.') ? text.slice(0, -1) : text;
  return domainToASCII(bare) || bare.toLowerCase();
}

/** Why no certificate and no route is possible for a domain; undefined where they are. */
export function domainFault(text: string): string | undefined {
  if (text.startsWith('*.')) return 'wildcards need a DNS challenge, which Slipway cannot answer; name each domain';
  if (/[:/]/.test(text)) return 'write the bare domain, without scheme, port or path';
  const domain = canonicalDomain(text);
  if (isIP(domain) !== 0) return 'routes are for domains; a certificate cannot be had for an address';
  const labels = domain.split('.');
  const valid = domain.length <= 253 && labels.every((label) => /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/.test(label));
  if (!valid) return 'is no valid domain name';
  return labels.length < 2 ? 'is a single label; a public domain has a dot in it' : undefined;
}

/** Why a release cannot be tried on these shares of the clients one after the other; undefined where it can. */
export function canaryFault(steps: readonly number[]): string | undefined {
  const at = steps.findIndex((step, index) => index > 0 && step <= (steps[index - 1] ?? 0));
  return at < 0 ? undefined : `goes from ${steps[at - 1]} to ${steps[at]}; each step is larger than the one before`;
}
