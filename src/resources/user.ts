import * as z from 'zod';
import { DeployError } from '#core/errors';
import { lastLines } from '#core/run';
import {
  accountName,
  endsLogins,
  type Passwd,
  readGroups,
  readShadows,
  readUsers,
  type Shadow,
} from '#resources/accounts';
import { type Change, defineKind, type FileState, type Host } from '#resources/resource';

const path = z.string().regex(/^\/[^:\n]*$/, 'an absolute path');

const props = z.strictObject({
  name: accountName,
  /** The next free one where none is given. */
  uid: z.number().int().positive().optional(),
  /** The primary group; a group of the user's own name where none is given. */
  group: accountName.optional(),
  /** Groups the user is a member of besides; other memberships stay unless `exactGroups`. */
  groups: z.array(accountName).default([]),
  exactGroups: z.boolean().default(false),
  /** `/bin/bash` for a new user (`/usr/sbin/nologin` for one of the system); an existing user's stays where none is given. */
  shell: path.optional(),
  /** `/home/NAME` for a new user; an existing user's stays where none is given. */
  home: path.optional(),
  /** A user of the system gets a number below those of people and no home of its own. */
  system: z.boolean().default(false),
  /** `none`: no password fits. A new user never has one; an existing user's stays with `keep`. */
  password: z.enum(['keep', 'none']).default('keep'),
  /** That they can log in with a key: what of the account would have sshd refuse them is mended. */
  login: z.boolean().default(false),
});

type Props = z.output<typeof props>;

interface UserState extends Passwd {
  readonly primary: string;
  readonly groups: readonly string[];
  readonly shadow: Shadow | undefined;
  /** Whether the shell is one that runs commands. */
  readonly hasShell: boolean;
  /** Undefined where the directory is missing. */
  readonly homeDirectory: FileState | undefined;
}

async function read(host: Host, { name }: Props): Promise<UserState | undefined> {
  const [users, groups, shadows] = await Promise.all([readUsers(host), readGroups(host), readShadows(host)]);
  const user = users.get(name);
  if (user === undefined) return undefined;
  const all = [...groups.values()];
  return {
    ...user,
    primary: all.find(({ gid }) => gid === user.gid)?.name ?? String(user.gid),
    groups: all.filter(({ members }) => members.includes(name)).map((group) => group.name),
    shadow: shadows.get(name),
    hasShell: !endsLogins(user.shell) && (await host.stat(user.shell || '/bin/sh')) !== undefined,
    homeDirectory: await host.stat(user.home),
  };
}

function surplusGroups(state: UserState, { groups, exactGroups }: Props): readonly string[] {
  return exactGroups ? state.groups.filter((group) => !groups.includes(group)) : [];
}

function missingGroups(state: UserState, { groups }: Props): readonly string[] {
  return groups.filter((group) => !state.groups.includes(group) && group !== state.primary);
}

/** The shell that is wanted: for who has to log in, one that runs commands. */
function shellOf(state: UserState, { shell, login }: Props): string | undefined {
  return shell ?? (login && !state.hasShell ? '/bin/bash' : undefined);
}

function today(): string {
  return String(Math.floor(Date.now() / 86_400_000));
}

/** Days to which chage(1) sets what would refuse a login, each with the words that say so. */
function ageing(
  { shadow }: UserState,
  { login }: Props,
): readonly { readonly says: string; readonly argv: string[] }[] {
  if (!login || shadow === undefined) return [];
  const { changed, maxAge, expires } = shadow;
  const isDue = changed === 0;
  // PAM refuses keys as well where a password is too old, and a key gives nobody a chance to renew it.
  const ages = maxAge !== undefined && maxAge >= 0 && maxAge < 99_999;
  return [
    ...(expires === undefined || expires < 0 ? [] : [{ says: 'never expires', argv: ['--expiredate', '-1'] }]),
    ...(ages || isDue
      ? [{ says: 'password never expires', argv: ['--maxdays', '99999', ...(isDue ? ['--lastday', today()] : [])] }]
      : []),
  ];
}

/** Whether sshd takes a home for one in which others could have put keys (sshd_config(5), StrictModes). */
function isOpen(state: UserState, { login, name }: Props): boolean {
  const { homeDirectory } = state;
  if (!login || homeDirectory === undefined) return false;
  const isTheirs = homeDirectory.owner === name || homeDirectory.owner === 'root';
  return !isTheirs || (Number.parseInt(homeDirectory.mode, 8) & 0o022) !== 0;
}

function diff(state: UserState | undefined, wanted: Props): readonly Change[] {
  if (state === undefined) return [{ summary: 'create' }];
  const changes: Change[] = [];
  const compare = (what: string, now: string | number, should: string | number | undefined) => {
    if (should !== undefined && should !== now) changes.push({ summary: `${what} ${now} -> ${should}` });
  };
  compare('uid', state.uid, wanted.uid);
  compare('group', state.primary, wanted.group);
  compare('shell', state.shell, shellOf(state, wanted));
  compare('home', state.home, wanted.home);
  for (const group of missingGroups(state, wanted)) changes.push({ summary: `join ${group}` });
  for (const group of surplusGroups(state, wanted)) changes.push({ summary: `leave ${group}` });
  if (wanted.password === 'none' && !isLocked(state)) changes.push({ summary: 'lock the password' });
  for (const { says } of ageing(state, wanted)) changes.push({ summary: says });
  if (isOpen(state, wanted)) changes.push({ summary: `${state.home}: theirs alone to write` });
  if (!wanted.system && state.homeDirectory === undefined) changes.push({ summary: `make ${state.home}` });
  return changes;
}

function isLocked({ shadow }: UserState): boolean {
  return shadow?.locked === true;
}

// A home left behind by a user of this name belongs to a number without a name: the user takes that number again.
async function uidOfLeftHome(host: Host, home: string): Promise<string | undefined> {
  const owner = (await host.stat(home))?.owner;
  return owner !== undefined && /^\d+$/.test(owner) ? owner : undefined;
}

async function create(host: Host, wanted: Props): Promise<void> {
  const { name, uid, group, groups, system } = wanted;
  const home = wanted.home ?? `/home/${name}`;
  const number = uid === undefined && !system ? await uidOfLeftHome(host, home) : uid?.toString();
  const sameNamed = (await readGroups(host)).has(name) ? ['--gid', name] : ['--user-group'];
  await change(host, name, [
    'useradd',
    ...(system ? ['--system', '--no-create-home'] : ['--create-home']),
    ...(number === undefined ? [] : ['--uid', number]),
    ...(group === undefined ? sameNamed : ['--gid', group]),
    ...(groups.length === 0 ? [] : ['--groups', groups.join(',')]),
    ...['--home-dir', home, '--shell', wanted.shell ?? (system ? '/usr/sbin/nologin' : '/bin/bash')],
    // `*` fits no password and, unlike `!`, does not make the account count as locked where PAM is not asked.
    ...['--password', '*'],
    // An expired password refuses key logins too, and nobody could renew one that does not exist.
    ...['--key', 'PASS_MAX_DAYS=99999', name],
  ]);
}

// usermod(8), useradd(8), userdel(8): 6 = a group or user is missing, 8 = processes of the user run.
async function change(host: Host, name: string, argv: readonly string[]): Promise<void> {
  const output = await host.run(argv);
  if (output.exitCode === 0) return;
  if (output.exitCode === 8) {
    throw new DeployError('user-busy', `The user ${name} has running processes: ${lastLines(output)}`, {
      hint: `End them on the host (\`loginctl terminate-user ${name}\`), then run the same command again.`,
    });
  }
  if (output.exitCode === 6) {
    throw new DeployError('account-missing', `The user ${name} cannot be set up: ${lastLines(output)}`, {
      hint: 'Declare the group, or the package that brings it, before the user.',
    });
  }
  await host.must(argv);
}

async function update(host: Host, wanted: Props, state: UserState): Promise<void> {
  const { name, uid, group, home } = wanted;
  const shell = shellOf(state, wanted);
  const options = [
    ...(uid === undefined || uid === state.uid ? [] : ['--uid', String(uid)]),
    ...(group === undefined || group === state.primary ? [] : ['--gid', group]),
    ...(shell === undefined || shell === state.shell ? [] : ['--shell', shell]),
    ...(home === undefined || home === state.home ? [] : ['--home', home, '--move-home']),
    ...(wanted.password === 'none' && !isLocked(state) ? ['--lock'] : []),
  ];
  if (options.length > 0) await change(host, name, ['usermod', ...options, name]);
  for (const missing of missingGroups(state, wanted)) {
    await change(host, name, ['usermod', '--append', '--groups', missing, name]);
  }
  for (const surplus of surplusGroups(state, wanted)) await host.must(['gpasswd', '--delete', name, surplus]);
  for (const { argv } of ageing(state, wanted)) await host.must(['chage', ...argv, name]);
  const directory = home ?? state.home;
  const found = await host.stat(directory);
  if (found !== undefined && isOpen({ ...state, homeDirectory: found }, wanted)) {
    await host.must(['chown', name, '--', directory]);
    await host.must(['chmod', 'go-w', '--', directory]);
  }
  if (wanted.system || found !== undefined) return;
  await host.must(['install', '-d', '-m', '0700', '-o', name, '-g', group ?? state.primary, '--', directory]);
}

// After the last logout systemd keeps the user's own manager for ten seconds (logind.conf(5), UserStopDelaySec).
async function endLeftSession(host: Host, { name, uid }: Passwd): Promise<void> {
  const state = await host.run(['loginctl', 'show-user', name, '--property', 'State', '--value']);
  const left = ['closing', 'lingering'].includes(state.stdout.trim());
  if (left) await host.run(['systemctl', 'stop', `user@${uid}.service`], { timeout: 30 });
}

async function remove(host: Host, footprint: Record<string, unknown>): Promise<void> {
  const name = footprint['name'] as string;
  const user = (await readUsers(host)).get(name);
  if (user === undefined) return;
  await endLeftSession(host, user);
  await change(host, name, ['userdel', name]);
  if ((await host.stat(user.home))?.type !== 'directory') return;
  host.warn(`The user ${name} is gone; ${user.home} stays.`, `Remove it when nobody needs it: rm -r ${user.home}`);
}

/** A user of the host. One that was there is adopted: no home, password or membership is lost, and nothing expires. */
export const userKind = defineKind({
  kind: 'user',
  summary: 'A user of the host; one that was there before is adopted as it is.',
  props,
  id: ({ name }) => name,
  read,
  diff,
  apply: (host, wanted, state) => (state === undefined ? create(host, wanted) : update(host, wanted, state)),
  footprint: ({ name }) => ({ name }),
  remove,
  guarded: true,
});
