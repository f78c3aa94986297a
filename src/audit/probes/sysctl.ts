import type { Found, HostProbe } from '#audit/audit';
import { overriding } from '#audit/drop-ins';
import type { Host } from '#resources/resource';
import { cannotSet, normalValue, parseAssignments, procPath } from '#resources/sysctl-keys';

// In the order of their right to hide one another (sysctl.d(5)); Debian 13 reads /etc/sysctl.conf no more.
const FOLDERS = ['/etc/sysctl.d', '/run/sysctl.d', '/usr/local/lib/sysctl.d', '/usr/lib/sysctl.d'];
/** ufw's own, which it applies whenever it starts: after everybody else's. */
const UFW = '/etc/ufw/sysctl.conf';

interface Setting {
  readonly path: string;
  readonly value: string;
}

/** Which file sets each key at the next boot, by the key's path below /proc/sys. */
async function atBoot(host: Host): Promise<ReadonlyMap<string, Setting>> {
  const [files, ufw, conf] = await Promise.all([
    overriding(host, FOLDERS, '.conf'),
    host.readFile(UFW),
    host.readFile('/etc/ufw/ufw.conf'),
  ]);
  const isOn = /^ENABLED=yes/m.test(conf ?? '');
  const all = ufw === undefined || !isOn ? files : [...files, { path: UFW, content: ufw }];
  const settings = new Map<string, Setting>();
  for (const { path, content } of all) {
    for (const [key, value] of parseAssignments(content)) settings.set(key, { path, value });
  }
  return settings;
}

/** Whether two values are the same to the kernel, which prints 0x10 as 16. */
export function isSame(one: string, other: string): boolean {
  return one === other || (one !== '' && other !== '' && Number(one) === Number(other));
}

/** Keys have dots, as sysctl(8) prints them. */
export const sysctl: HostProbe = {
  name: 'sysctl',
  async ask(host, keys) {
    const settings = await atBoot(host);
    const found = keys.map(async (key): Promise<readonly [string, Found]> => {
      const path = procPath(key);
      const text = await host.readFile(path).catch(() => undefined);
      if (text === undefined) return [key, { cannot: 'the kernel of this host does not have it' }];
      const live = normalValue(text);
      const set = settings.get(path);
      if (await cannotSet(host, path)) return [key, { value: live, cannot: 'a container may not set it' }];
      if (set === undefined || isSame(set.value, live)) return [key, { value: live, from: set?.path }];
      return [key, { value: `${live} (${set.value} after a reboot)`, from: set.path }];
    });
    return new Map(await Promise.all(found));
  },
};
