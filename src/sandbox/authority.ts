import { access, chmod, mkdir, readdir, readFile } from 'node:fs/promises';
import { must } from './must.ts';
import { CACHE } from './places.ts';

const FOLDER = `${CACHE}/authority`;
const KEY = `${FOLDER}/ca.key`;

/** The certificate of the sandbox's own authority, which signs what the sandbox internet serves; hosts trust it. */
export const CA_FILE = `${FOLDER}/ca.crt`;

const LOCAL_AUTHORITIES = '/usr/local/share/ca-certificates';

async function isThere(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}

/** Makes the authority where there is none; call it under a lock. */
export async function ensureAuthority(): Promise<void> {
  if (await isThere(CA_FILE)) return;
  await mkdir(FOLDER, { recursive: true, mode: 0o755 });
  await must(
    [
      ...['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-noenc'],
      ...['-days', '3650', '-subj', '/CN=Slipway sandbox authority', '-keyout', KEY, '-out', CA_FILE],
      ...['-addext', 'basicConstraints=critical,CA:TRUE', '-addext', 'keyUsage=critical,keyCertSign,cRLSign'],
    ],
    'make its certificate authority',
  );
  await chmod(KEY, 0o600);
}

/** Writes a key (0600) and a certificate for these DNS names, signed by the authority, valid for a year. */
export async function issue(names: readonly string[], keyFile: string, certificateFile: string): Promise<void> {
  await must(
    [
      ...['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-noenc'],
      ...['-days', '365', '-subj', `/CN=${names[0] ?? ''}`, '-CA', CA_FILE, '-CAkey', KEY],
      ...['-keyout', keyFile, '-out', certificateFile, '-addext', 'basicConstraints=critical,CA:FALSE'],
      ...['-addext', `subjectAltName=${names.map((name) => `DNS:${name}`).join(',')}`],
      ...['-addext', 'extendedKeyUsage=serverAuth'],
    ],
    `make a certificate for ${names.join(', ')}`,
  );
  await chmod(keyFile, 0o600);
}

/**
 * Every authority that a host has to trust, as file name and PEM: the sandbox's own, and those that this machine was
 * given (a proxy on the way out may have one of its own).
 */
export async function trustedAuthorities(): Promise<ReadonlyMap<string, string>> {
  const local = (await readdir(LOCAL_AUTHORITIES).catch(() => [])).filter((name) => name.endsWith('.crt')).sort();
  const trusted = new Map<string, string>();
  for (const name of local) trusted.set(name, await readFile(`${LOCAL_AUTHORITIES}/${name}`, 'utf8'));
  trusted.set('slipway-sandbox.crt', await readFile(CA_FILE, 'utf8'));
  return trusted;
}
