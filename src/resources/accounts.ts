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

/** Users whose password cannot match anything (shadow(5): a field that begins with `!` or `*`). */
export function readLockedUsers(host: Host): Promise<ReadonlySet<string>> {
  return host.once('locked users', async () => {
    const locked = rows(await host.readFile('/etc/shadow')).filter(([, password = '']) => /^[!*]/.test(password));
    return new Set(locked.map(([name = '']) => name));
  });
}
