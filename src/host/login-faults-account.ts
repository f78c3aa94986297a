import { dirname } from 'node:path';
import { endsLogins, type Passwd, readUsers } from '#resources/accounts';
import type { Host } from '#resources/resource';
import { obstacle } from '#resources/sshd-access';
import { visitorOf } from '#resources/sshd-effect';
import { firstToMatch, firstToSet, inOrder, placeText } from '#resources/sshd-files';
import type { Effective, FailedLogin } from './login-faults.ts';

const DAY = 86_400_000;

/** Files are read as they are now, past the memory of a reading pass. */
const afresh = (host: Host): Host => ({ ...host, once: (_, ask) => ask() });

async function shellFault(host: Host, { shell, name }: Passwd): Promise<string | undefined> {
  const path = shell === '' ? '/bin/sh' : shell;
  if (endsLogins(path)) return `the shell of ${name} is ${path}, which ends every login`;
  if ((await host.run(['test', '-x', path])).exitCode !== 0) {
    return `the shell of ${name}, ${path}, is not there or cannot be executed`;
  }
  const pam = await Promise.all(
    ['sshd', 'common-auth', 'common-account'].map((name) => host.readFile(`/etc/pam.d/${name}`)),
  );
  const listed = ((await host.readFile('/etc/shells')) ?? '').split('\n').includes(path);
  const asked = pam.some((text) => /^[^#\n]*pam_shells/m.test(text ?? ''));
  return asked && !listed ? `the shell of ${name}, ${path}, is not in /etc/shells` : undefined;
}

/** Why an account is closed, from its line in /etc/shadow (shadow(5)); `today` in days since 1970. */
export function expiryFault(line: string, today: number): string | undefined {
  const [name = '', password = '', changed = '', , most = '', , , expires = ''] = line.split(':');
  const day = (days: string) => new Date(Number(days) * DAY).toISOString().slice(0, 10);
  if (expires !== '' && Number(expires) <= today) return `the account ${name} expired on ${day(expires)}`;
  if (changed === '0') return `the password of ${name} has to be changed at the next login`;
  // Who has no password cannot have an old one: PAM asks all the same.
  const due = Number(changed) + Number(most);
  const ages = changed !== '' && most !== '' && Number(most) >= 0 && password !== '';
  return ages && due < today ? `the password of ${name} expired on ${day(String(due))}` : undefined;
}

async function accountFault(host: Host, { name }: Passwd): Promise<string | undefined> {
  const shadow = (await host.readFile('/etc/shadow')) ?? '';
  const line = shadow.split('\n').find((row) => row.startsWith(`${name}:`));
  const fault = line === undefined ? undefined : expiryFault(line, Math.floor(Date.now() / DAY));
  if (fault !== undefined || name === 'root') return fault;
  for (const path of ['/etc/nologin', '/run/nologin', '/var/run/nologin']) {
    if ((await host.stat(path)) !== undefined) return `${path} keeps everybody but root out`;
  }
  return undefined;
}

/** Where sshd looks for a user's keys, from `authorizedkeysfile` as `sshd -T` prints it. */
export function keyFiles(option: string, { name, home, uid }: Passwd): readonly string[] {
  const tokens: Readonly<Record<string, string>> = { '%': '%', h: home, u: name, U: String(uid) };
  return option
    .split(' ')
    .filter((word) => word !== '' && word !== 'none')
    .map((word) => word.replaceAll(/%([%huU])/g, (_, token: string) => tokens[token] ?? ''))
    .map((path) => (path.startsWith('/') ? path : `${home}/${path}`));
}

/** sshd(8), StrictModes: neither a key file nor what it lies in, up to the home, may be writable by others. */
async function modeFault(host: Host, file: string, { name, home }: Passwd): Promise<string | undefined> {
  for (let path = file; ; path = dirname(path)) {
    const state = await host.stat(path);
    if (state === undefined) return undefined;
    if ((Number.parseInt(state.mode, 8) & 0o022) !== 0) return `${path} is writable by others (mode ${state.mode})`;
    if (state.owner !== name && state.owner !== 'root') return `${path} belongs to ${state.owner}, not to ${name}`;
    if (path === home || path === '/') return undefined;
  }
}

/** A key as `ssh-keygen -l` lists it. */
export interface ListedKey {
  readonly bits: number;
  readonly fingerprint: string;
  readonly type: string;
}

/** The keys in what `ssh-keygen -l` prints. */
export function listedKeys(said: string): readonly ListedKey[] {
  return [...said.matchAll(/^(\d+) (SHA256:\S+) .*\(([A-Z0-9-]+)\)$/gm)].map(
    ([, bits = '', fingerprint = '', type = '']) => ({ bits: Number(bits), fingerprint, type }),
  );
}

const ALGORITHMS: Readonly<Record<string, readonly string[]>> = {
  RSA: ['rsa-sha2-512', 'rsa-sha2-256', 'ssh-rsa'],
  ED25519: ['ssh-ed25519'],
  'ED25519-SK': ['sk-ssh-ed25519@openssh.com'],
  'ECDSA-SK': ['sk-ecdsa-sha2-nistp256@openssh.com'],
};

/** Why sshd takes no key like this one; undefined where it does. */
export function keyFault({ type, bits }: ListedKey, sshd: Effective): string | undefined {
  const least = Number(sshd.get('requiredrsasize') ?? 0);
  if (type === 'RSA' && bits < least) return `its RSA key has ${bits} bits, and sshd asks for ${least}`;
  const accepted = sshd.get('pubkeyacceptedalgorithms')?.split(',');
  const algorithms = type === 'ECDSA' ? [`ecdsa-sha2-nistp${bits}`] : ALGORITHMS[type];
  if (accepted === undefined || algorithms === undefined) return undefined;
  return algorithms.some((algorithm) => accepted.includes(algorithm)) ? undefined : `sshd takes no ${type} keys`;
}

async function keysFault(host: Host, user: Passwd, login: FailedLogin, sshd: Effective): Promise<string | undefined> {
  const files = keyFiles(sshd.get('authorizedkeysfile') ?? '.ssh/authorized_keys', user);
  const keys: ListedKey[] = [];
  for (const file of files) {
    if ((await host.stat(file)) === undefined) continue;
    const strict = sshd.get('strictmodes') === 'yes' ? await modeFault(host, file, user) : undefined;
    if (strict !== undefined) return `${strict}, so sshd does not look at the keys of ${user.name}`;
    keys.push(...listedKeys((await host.run(['ssh-keygen', '-l', '-f', file])).stdout));
  }
  if ((await host.stat(user.home)) === undefined) return `the home of ${user.name}, ${user.home}, does not exist`;
  if (keys.length === 0) return `${user.name} has no key in ${files.join(' or ')}`;
  const offered = new Set(login.failure.match(/SHA256:[A-Za-z0-9+/]+/g));
  const fitting = offered.size === 0 ? keys : keys.filter(({ fingerprint }) => offered.has(fingerprint));
  if (fitting.length === 0) return `none of the keys that were offered is in ${files.join(' or ')}`;
  const faults = fitting.map((key) => keyFault(key, sshd));
  return faults.includes(undefined) ? undefined : faults[0];
}

async function listsFault(host: Host, { name }: Passwd, sshd: Effective): Promise<string | undefined> {
  const found = obstacle(sshd, await visitorOf(host, name));
  if (found === undefined) return undefined;
  const parts = await inOrder(host, '');
  const place = firstToSet(found.option, parts) ?? firstToMatch(found.option, parts);
  const where = place === undefined ? '' : ` (${placeText(place)})`;
  return `${found.option} of sshd is "${found.value}"${where}: ${found.why}`;
}

async function rootFault({ name }: Passwd, sshd: Effective): Promise<string | undefined> {
  const permitted = sshd.get('permitrootlogin');
  return name === 'root' && permitted === 'no' ? 'sshd lets root in no more (PermitRootLogin no)' : undefined;
}

async function sudoFault(host: Host, { name }: Passwd): Promise<string | undefined> {
  if (name === 'root') return undefined;
  const output = await host.run(['runuser', '-u', name, '--', 'sudo', '-n', 'true'], { timeout: 10 });
  if (output.exitCode === 0) return undefined;
  const said = output.stderr.trim().split('\n').slice(0, 2).join(' ');
  return `sudo refuses ${name}: ${said === '' ? `exit ${output.exitCode}` : said}`;
}

/** What of an account keeps its user from logging in and becoming root. */
export async function accountFaults(given: Host, login: FailedLogin, sshd: Effective): Promise<readonly string[]> {
  const host = afresh(given);
  const user = (await readUsers(host)).get(login.user);
  if (user === undefined) return [`there is no user ${login.user}`];
  const found = await Promise.all([
    rootFault(user, sshd),
    keysFault(host, user, login, sshd),
    shellFault(host, user),
    listsFault(host, user, sshd),
    accountFault(host, user),
    sudoFault(host, user),
  ]);
  return found.filter((fault) => fault !== undefined);
}
