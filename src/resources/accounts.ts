import * as z from 'zod';
import type { Host } from '#resources/resource';

/** A name that useradd(8) and groupadd(8) of Debian take without being forced. */
export const accountName = z.string().regex(/^[a-z_][a-z0-9_-]{0,31}$/, 'a name such as `deploy`');

export interface Group {
  readonly name: string;
  readonly gid: number;
  readonly members: readonly string[];
}

export interface Passwd {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
  readonly shell: string;
}

function rows(text: string | undefined): readonly (readonly string[])[] {
  return (text ?? '')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.split(':'));
}

/** The host's groups, by name. */
export function readGroups(host: Host): Promise<ReadonlyMap<string, Group>> {
  return host.once('groups', async () => {
    const groups = rows(await host.readFile('/etc/group')).map(([name = '', , gid = '', members = '']) => ({
      name,
      gid: Number(gid),
      members: members.split(',').filter((member) => member !== ''),
    }));
    return new Map(groups.map((group) => [group.name, group]));
  });
}

/** The host's users, by name. */
export function readUsers(host: Host): Promise<ReadonlyMap<string, Passwd>> {
  return host.once('users', async () => {
    const users = rows(await host.readFile('/etc/passwd')).map(([name = '', , uid, gid, , home = '', shell = '']) => ({
      name,
      uid: Number(uid),
      gid: Number(gid),
      home,
      shell,
    }));
    return new Map(users.map((user) => [user.name, user]));
  });
}

/** Whether a shell ends every login that comes to it. */
export function endsLogins(shell: string): boolean {
  return /\/(?:nologin|false)$/.test(shell);
}

/** What shadow(5) says of one user; days are counted from 1970. */
export interface Shadow {
  readonly name: string;
  /** No password can match it: the field begins with `!` or `*`. */
  readonly locked: boolean;
  /** The day of the last change; 0 = it has to be changed at the next login. */
  readonly changed: number | undefined;
  /** Days after which a password has to be changed. */
  readonly maxAge: number | undefined;
  /** The day from which on nobody is let in. */
  readonly expires: number | undefined;
}

/** The host's passwords and their ages, by user; never a hash. */
export function readShadows(host: Host): Promise<ReadonlyMap<string, Shadow>> {
  const days = (field: string | undefined) => (field === undefined || field === '' ? undefined : Number(field));
  return host.once('shadows', async () => {
    const shadows = rows(await host.readFile('/etc/shadow')).map(
      ([name = '', password = '', changed, , maxAge, , , expires]) => ({
        name,
        locked: /^[!*]/.test(password),
        changed: days(changed),
        maxAge: days(maxAge),
        expires: days(expires),
      }),
    );
    return new Map(shadows.map((shadow) => [shadow.name, shadow]));
  });
}
