import { readFile } from 'node:fs/promises';
import { DeployError } from '#core/errors';

/** Names and numbers of users and groups, from the host's own files. */
export interface Accounts {
  userName(uid: number): Promise<string>;
  groupName(gid: number): Promise<string>;
  userId(name: string): Promise<number>;
  groupId(name: string): Promise<number>;
  /** Forgets what was read, since users may have been made meanwhile. */
  forget(): void;
}

type Table = { readonly names: ReadonlyMap<number, string>; readonly ids: ReadonlyMap<string, number> };

async function table(file: string): Promise<Table> {
  const rows = (await readFile(file, 'utf8')).split('\n').map((line) => line.split(':'));
  const known = rows.filter((row) => row.length > 2).map((row) => [row[0] ?? '', Number(row[2])] as const);
  // Of several names with one number the first counts, as it does to the system.
  return { names: new Map(known.toReversed().map(([name, id]) => [id, name])), ids: new Map(known.toReversed()) };
}

/** The host's accounts, read once until forgotten. Numbers without a name stand for themselves. */
export function readAccounts(): Accounts {
  let users: Promise<Table> | undefined;
  let groups: Promise<Table> | undefined;
  const userTable = () => (users ??= table('/etc/passwd'));
  const groupTable = () => (groups ??= table('/etc/group'));

  async function idOf(kind: 'user' | 'group', name: string, from: Promise<Table>): Promise<number> {
    if (/^\d+$/.test(name)) return Number(name);
    const id = (await from).ids.get(name);
    if (id !== undefined) return id;
    throw new DeployError('account-missing', `There is no ${kind} ${name} on the host.`, {
      hint: `Declare the ${kind} before what belongs to it.`,
    });
  }

  return {
    userName: async (uid) => (await userTable()).names.get(uid) ?? String(uid),
    groupName: async (gid) => (await groupTable()).names.get(gid) ?? String(gid),
    userId: (name) => idOf('user', name, userTable()),
    groupId: (name) => idOf('group', name, groupTable()),
    forget: () => {
      users = undefined;
      groups = undefined;
    },
  };
}
