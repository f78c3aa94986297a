import type { Host } from '#resources/resource';

/** The first number that Debian gives to people; below are the system's own (adduser.conf(5)). */
const FIRST = 1000;
const NOBODY = 65_534;
/** Each is asked about by a program of its own, so there is a limit. */
const MOST = 4;

/** One line of /etc/passwd. */
export interface Account {
  readonly name: string;
  readonly password: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
  readonly shell: string;
}

/** The accounts in the text of /etc/passwd: every line, since a name's second one would hide behind its first. */
export function parsePasswd(text: string): readonly Account[] {
  return text.split('\n').flatMap((line): readonly Account[] => {
    const [name = '', password = '', uid, gid, , home = '', shell = ''] = line.split(':');
    if (name === '' || uid === undefined || gid === undefined) return [];
    return [{ name, password, uid: Number(uid), gid: Number(gid), home, shell }];
  });
}

/** Whether somebody can work in it; passwd(5): an empty one is /bin/sh. */
export function isShell(shell: string): boolean {
  return !/\/(?:nologin|false|sync|halt|shutdown)$/.test(shell);
}

/** The accounts of this host. */
export function accounts(host: Host): Promise<readonly Account[]> {
  return host.once('accounts', async () => parsePasswd((await host.readFile('/etc/passwd')) ?? ''));
}

/** Names of the accounts that people log in with, root not among them. */
export async function people(host: Host): Promise<readonly string[]> {
  return (await accounts(host))
    .filter(({ uid, shell }) => uid >= FIRST && uid !== NOBODY && isShell(shell))
    .slice(0, MOST)
    .map(({ name }) => name);
}
