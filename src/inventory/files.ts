import { access, constants, readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { LEAST_RSA_BITS, rsaBits } from '#core/rsa';
import type { Fault } from '#inventory/check';
import { valueAt } from '#inventory/issues';
import type { Path } from '#inventory/tree';

/** The files beside an inventory that it names, read. */
export interface NamedFiles {
  readonly authorizedKeys: readonly string[];
  readonly ca: string | undefined;
  /** The authority of the backups' repository, and the private key for it. */
  readonly backupCa: string | undefined;
  readonly backupIdentity: string | undefined;
  readonly maintenancePage: string | undefined;
}

// The options before the key may hold quoted blanks (sshd(8), AUTHORIZED_KEYS FILE FORMAT).
const PUBLIC_KEY =
  /^(?:(?:[^\s"]|"(?:\\"|[^"])*")+\s+)?(?:ssh-(?:ed25519|rsa)|ecdsa-sha2-nistp(?:256|384|521)|sk-(?:ssh-ed25519|ecdsa-sha2-nistp256)@openssh\.com)\s+AAAA[A-Za-z0-9+/]+={0,2}(?:\s.*)?$/;

/** A path as people write it, made absolute: `~` is the home directory, the rest starts at the project. */
export function absolutePath(directory: string, path: string): string {
  return path.startsWith('~/') ? join(homedir(), path.slice(2)) : resolve(directory, path);
}

function why(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code;
  return code === 'ENOENT' ? 'there is no such file' : code === 'EACCES' ? 'you may not read it' : `${code}`;
}

/** Reads what the inventory points at; what cannot be read is a fault at the key that names it. */
export async function readNamedFiles(directory: string, inventory: unknown, fault: Fault): Promise<NamedFiles> {
  const hosts = valueAt(inventory, ['hosts']);
  const identities = Object.keys(hosts !== null && typeof hosts === 'object' ? hosts : {}).flatMap((name) => {
    const path: Path = ['hosts', name, 'identityFile'];
    const file = valueAt(inventory, path);
    return typeof file === 'string' && file !== ''
      ? [{ path, file: absolutePath(directory, file), written: file }]
      : [];
  });
  const unreadable = new Set<string>();
  for (const { path, file, written } of identities) {
    await access(file, constants.R_OK).catch((error) => {
      unreadable.add(file);
      fault(path, `cannot read the key "${written}": ${why(error)}`);
    });
  }
  return {
    authorizedKeys: await readAuthorizedKeys(directory, inventory, identities, unreadable, fault),
    ca: await readAuthority(directory, inventory, ['certificates', 'ca'], fault),
    backupCa: await readAuthority(directory, inventory, ['backups', 'ca'], fault),
    backupIdentity: await readNamed(directory, inventory, ['backups', 'identityFile'], fault),
    maintenancePage: await readNamed(directory, inventory, ['maintenance', 'page'], fault),
  };
}

async function readAuthorizedKeys(
  directory: string,
  inventory: unknown,
  identities: readonly { readonly path: Path; readonly file: string; readonly written: string }[],
  unreadable: ReadonlySet<string>,
  fault: Fault,
): Promise<readonly string[]> {
  const declared = valueAt(inventory, ['ssh', 'authorizedKeys']);
  const least = leastRsaBits(inventory);
  if (Array.isArray(declared)) {
    const keys = await Promise.all(
      declared.map(async (entry, index) => {
        const path: Path = ['ssh', 'authorizedKeys', index];
        return longEnough(await keysOf(directory, entry, path, fault), least, path, fault);
      }),
    );
    return [...new Set(keys.flat())];
  }
  if (declared !== undefined) return [];
  if (identities.length > 0) {
    const keys = await Promise.all(
      identities.map(async ({ path, file, written }) => {
        const found = await readKeys(`${file}.pub`).catch(() => []);
        if (found.length > 0 || unreadable.has(file)) return longEnough(found, least, path, fault);
        const advice = `ssh-keygen -y -f ${written} > ${written}.pub`;
        fault(path, `has no public key beside it, to let you in later; run: ${advice}`);
        return [];
      }),
    );
    return [...new Set(keys.flat())];
  }
  const fallback = await readKeys(join(homedir(), '.ssh', 'id_ed25519.pub')).catch(() => []);
  if (fallback.length === 0) {
    const message =
      'is missing, and there is no ~/.ssh/id_ed25519.pub: without a public key nobody could log in later. Name one, or make one with: ssh-keygen -t ed25519';
    fault(['ssh', 'authorizedKeys'], message, 'key');
  }
  return fallback;
}

function leastRsaBits(inventory: unknown): number {
  const declared = valueAt(inventory, ['ssh', 'options', 'RequiredRSASize']);
  return typeof declared === 'number' ? declared : LEAST_RSA_BITS;
}

/** The keys as they are; one that sshd would refuse is a fault. */
function longEnough(keys: readonly string[], least: number, path: Path, fault: Fault): readonly string[] {
  const bits = keys.flatMap((key) => rsaBits(key) ?? []).find((size) => size < least);
  if (bits !== undefined) {
    fault(path, `is an RSA key of ${bits} bits, and sshd refuses those below ${least}; run: ssh-keygen -t ed25519`);
  }
  return keys;
}

async function readKeys(path: string): Promise<readonly string[]> {
  const lines = (await readFile(path, 'utf8')).split('\n').map((line) => line.trim());
  return lines.filter((line) => line !== '' && !line.startsWith('#') && PUBLIC_KEY.test(line));
}

async function keysOf(directory: string, entry: unknown, path: Path, fault: Fault): Promise<readonly string[]> {
  if (typeof entry !== 'string' || entry === '') return [];
  const key = entry.trim();
  if (PUBLIC_KEY.test(key)) return [key];
  if (/\s/.test(key) || key.startsWith('AAAA')) {
    fault(path, 'is no public key; it begins like "ssh-ed25519 AAAA" and is one line');
    return [];
  }
  try {
    const keys = await readKeys(absolutePath(directory, key));
    if (keys.length === 0) fault(path, `finds no public key in "${key}"; name the .pub file`);
    return keys;
  } catch (error) {
    fault(path, `cannot read "${key}": ${why(error)}`);
    return [];
  }
}

async function readAuthority(
  directory: string,
  inventory: unknown,
  path: Path,
  fault: Fault,
): Promise<string | undefined> {
  const file = valueAt(inventory, path);
  if (typeof file !== 'string' || file === '') return undefined;
  try {
    const pem = await readFile(absolutePath(directory, file), 'utf8');
    if (pem.includes('-----BEGIN CERTIFICATE-----')) return pem;
    fault(path, `finds no certificate in "${file}"; a PEM file has BEGIN CERTIFICATE in it`);
  } catch (error) {
    fault(path, `cannot read "${file}": ${why(error)}`);
  }
  return undefined;
}

async function readNamed(directory: string, inventory: unknown, path: Path, fault: Fault): Promise<string | undefined> {
  const file = valueAt(inventory, path);
  if (typeof file !== 'string' || file === '') return undefined;
  try {
    return await readFile(absolutePath(directory, file), 'utf8');
  } catch (error) {
    fault(path, `cannot read "${file}": ${why(error)}`);
    return undefined;
  }
}
