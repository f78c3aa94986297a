import { createHash, createHmac, randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { DeployError } from '#core/errors';
import { matchesHost } from '#ssh/config';

/** A host's public key: its type as SSH names it, and the key itself in SSH's wire form. */
export interface HostKey {
  readonly type: string;
  readonly blob: Buffer;
  /** `SHA256:…`, as ssh-keygen prints it. */
  readonly fingerprint: string;
}

/** A key that a known_hosts file holds for a host. */
export interface KnownKey extends HostKey {
  readonly file: string;
  readonly line: number;
  readonly marker?: 'revoked' | 'cert-authority';
}

/** A host as known_hosts files name it: `name`, or `[name]:port` off port 22 (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT). */
export function knownAs(host: string, port: number): string {
  const name = host.toLowerCase();
  return port === 22 ? name : `[${name}]:${port}`;
}

/** A host key from its wire form. */
export function hostKey(blob: Buffer): HostKey {
  const length = blob.length < 4 ? 0 : blob.readUInt32BE(0);
  const fingerprint = `SHA256:${createHash('sha256').update(blob).digest('base64').replace(/=+$/, '')}`;
  return { type: blob.toString('latin1', 4, 4 + length), blob, fingerprint };
}

/**
 * The keys that the first of these files to know the host holds for it, and what any of them revokes: a project's own
 * pins are not widened by what a person once accepted elsewhere.
 */
export function knownKeys(files: readonly string[], host: string, port: number): KnownKey[] {
  const name = knownAs(host, port);
  const perFile = files.map((file) => keysIn(file, name));
  const deciding = perFile.find((keys) => keys.some((key) => key.marker === undefined)) ?? [];
  const marked = perFile.flat().filter((key) => key.marker !== undefined);
  return [...deciding.filter((key) => key.marker === undefined), ...marked];
}

function keysIn(file: string, name: string): KnownKey[] {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw new DeployError('known-hosts-unreadable', `${file} cannot be read: ${(error as Error).message}`, {
      hint: `Make ${file} readable; without it no host can be recognised.`,
      cause: error,
    });
  }
  return text.split('\n').flatMap((line, index) => {
    const key = parseLine(line, name);
    return key === undefined ? [] : [{ ...key, file, line: index + 1 }];
  });
}

function parseLine(line: string, name: string): (HostKey & { marker?: 'revoked' | 'cert-authority' }) | undefined {
  const words = line.trim().split(/\s+/);
  if (words[0] === undefined || words[0] === '' || words[0].startsWith('#')) return undefined;
  const marker = words[0].startsWith('@') ? words.shift()?.slice(1) : undefined;
  const [hosts, type, key] = words;
  if (hosts === undefined || type === undefined || key === undefined) return undefined;
  if (marker !== undefined && marker !== 'revoked' && marker !== 'cert-authority') return undefined;
  if (!covers(hosts, name)) return undefined;
  const parsed = hostKey(Buffer.from(key, 'base64'));
  if (parsed.type !== type) return undefined;
  return marker === undefined ? parsed : { ...parsed, marker };
}

function covers(hosts: string, name: string): boolean {
  if (!hosts.startsWith('|')) return matchesHost(hosts.split(','), name);
  const [, version, salt, hash] = hosts.split('|');
  if (version !== '1' || salt === undefined || hash === undefined) return false;
  return createHmac('sha1', Buffer.from(salt, 'base64')).update(name).digest('base64') === hash;
}

/** How a presented key stands against what is known. */
export type Verdict =
  | { readonly kind: 'known' }
  | { readonly kind: 'unknown'; readonly authority?: KnownKey }
  | { readonly kind: 'changed'; readonly pinned: readonly KnownKey[] }
  | { readonly kind: 'revoked'; readonly by: KnownKey };

/** Judges the key a host presents. A key of a type that is not pinned, where another type is, counts as changed. */
export function judge(presented: HostKey, known: readonly KnownKey[]): Verdict {
  const same = known.filter((key) => key.blob.equals(presented.blob));
  const revoked = same.find((key) => key.marker === 'revoked');
  if (revoked !== undefined) return { kind: 'revoked', by: revoked };
  if (same.some((key) => key.marker === undefined)) return { kind: 'known' };
  const pinned = known.filter((key) => key.marker === undefined);
  if (pinned.length > 0) return { kind: 'changed', pinned };
  const authority = known.find((key) => key.marker === 'cert-authority');
  return { kind: 'unknown', ...(authority === undefined ? {} : { authority }) };
}

const OFFER: readonly (readonly [type: string, algorithms: readonly string[]])[] = [
  ['ssh-ed25519', ['ssh-ed25519']],
  ['ecdsa-sha2-nistp256', ['ecdsa-sha2-nistp256']],
  ['ecdsa-sha2-nistp384', ['ecdsa-sha2-nistp384']],
  ['ecdsa-sha2-nistp521', ['ecdsa-sha2-nistp521']],
  ['ssh-rsa', ['rsa-sha2-512', 'rsa-sha2-256']],
];

/** The host key algorithms to offer, those of pinned keys first so that the host presents a key we can recognise. */
export function hostKeyOffer(known: readonly KnownKey[]): string[] {
  const pinned = new Set(known.filter((key) => key.marker === undefined).map((key) => key.type));
  const first = OFFER.filter(([type]) => pinned.has(type));
  const rest = OFFER.filter(([type]) => !pinned.has(type));
  return [...first, ...rest].flatMap(([, algorithms]) => algorithms);
}

/** The line that a known_hosts file holds for a host's key. */
export function knownHostsLine(host: string, port: number, key: HostKey): string {
  return `${knownAs(host, port)} ${key.type} ${key.blob.toString('base64')}`;
}

/** Trusts a host's key: adds its line to a known_hosts file, which is replaced whole and created 0644 if missing. */
export function pin(file: string, host: string, port: number, key: HostKey): void {
  mkdirSync(dirname(file), { recursive: true });
  let text = '';
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  const line = knownHostsLine(host, port, key);
  if (text.split('\n').includes(line)) return;
  const before = text === '' || text.endsWith('\n') ? text : `${text}\n`;
  const temporary = `${file}.${randomBytes(4).toString('hex')}`;
  writeFileSync(temporary, `${before}${line}\n`, { mode: 0o644 });
  renameSync(temporary, file);
}
