import type { Found, HostProbe } from '#audit/audit';
import { type Account, accounts, isShell } from '#audit/people';
import type { Host } from '#resources/resource';

const listed = (names: readonly string[]): string => (names.length === 0 ? 'none' : names.join(','));

/** Password fields of /etc/shadow, by user. */
async function passwords(host: Host): Promise<ReadonlyMap<string, string>> {
  const rows = ((await host.readFile('/etc/shadow')) ?? '').split('\n').map((line) => line.split(':'));
  return new Map(rows.flatMap(([name = '', hash = '']) => (name === '' ? [] : [[name, hash] as const])));
}

async function members(host: Host, group: string): Promise<readonly string[]> {
  const rows = ((await host.readFile('/etc/group')) ?? '').split('\n').map((line) => line.split(':'));
  const [, , gid = '', named = ''] = rows.find(([name]) => name === group) ?? [];
  if (gid === '') return [];
  const primary = (await accounts(host)).filter((account) => account.gid === Number(gid)).map(({ name }) => name);
  return [...new Set([...primary, ...named.split(',').filter((name) => name !== '')])];
}

/** Whether the password field is one that no password fits (shadow(5)). */
function isLocked(hash: string | undefined): boolean {
  return hash !== undefined && /^[!*]/.test(hash);
}

async function user(host: Host, account: Account, hash: string | undefined): Promise<string> {
  const [keys, sudo] = await Promise.all([
    host.readFile(`${account.home}/.ssh/authorized_keys`),
    host.run(['sudo', '-n', '-l', '-U', account.name]),
  ]);
  const hasKey = (keys ?? '').split('\n').some((line) => /^\s*[^#\s]/.test(line));
  return [
    ...(hasKey ? ['key'] : []),
    ...(sudo.exitCode === 0 && /may run the following/.test(sudo.stdout) ? ['sudo'] : []),
    ...(isShell(account.shell) ? ['shell'] : []),
    ...(isLocked(hash) ? ['locked'] : []),
  ].join(',');
}

async function about(host: Host, key: string): Promise<Found> {
  const [all, hashes] = await Promise.all([accounts(host), host.once('shadow', () => passwords(host))]);
  if (key === 'uid-0')
    return { value: listed(all.filter(({ uid }) => uid === 0).map(({ name }) => name)), from: '/etc/passwd' };
  if (key === 'docker-group') return { value: listed(await members(host, 'docker')), from: '/etc/group' };
  if (key === 'empty-passwords') {
    const open = all.filter(({ name, password }) => password === '' || (password === 'x' && hashes.get(name) === ''));
    return { value: listed(open.map(({ name }) => name)), from: '/etc/shadow' };
  }
  const name = /^user:(.+)$/.exec(key)?.[1];
  if (name === undefined) return { cannot: `an audit knows no account \`${key}\`` };
  const account = all.find((one) => one.name === name);
  return { value: account === undefined ? 'missing' : await user(host, account, hashes.get(name)) };
}

/** Keys are `empty-passwords`, `uid-0`, `docker-group` and `user:<name>`. */
export const account: HostProbe = {
  name: 'account',
  ask: async (host, keys) =>
    new Map(await Promise.all(keys.map(async (key) => [key, await about(host, key)] as const))),
};
