import type { Found, HostProbe } from '#audit/audit';
import { type DropIn, overriding } from '#audit/drop-ins';

// In the order of their right to hide one another (modprobe.d(5)).
const FOLDERS = ['/etc/modprobe.d', '/run/modprobe.d', '/usr/local/lib/modprobe.d', '/usr/lib/modprobe.d'];

/** Module names are the same with either dash. */
const plain = (name: string) => name.replaceAll('-', '_');

/** Which program is started instead of loading a module, and which file says so; the first one counts. */
export function installCommand(name: string, files: readonly DropIn[]): { path: string; command: string } | undefined {
  for (const { path, content } of files) {
    for (const line of content.split('\n')) {
      const [, module, command] = /^\s*install\s+(\S+)\s+(.*\S)/.exec(line) ?? [];
      if (module !== undefined && command !== undefined && plain(module) === plain(name)) return { path, command };
    }
  }
  return undefined;
}

/** Keys are names of kernel modules. */
export const module: HostProbe = {
  name: 'module',
  async ask(host, keys) {
    const [files, loaded] = await Promise.all([overriding(host, FOLDERS, '.conf'), host.readFile('/proc/modules')]);
    const names = new Set((loaded ?? '').split('\n').map((line) => plain(line.split(' ')[0] ?? '')));
    const found = keys.map((key): readonly [string, Found] => {
      const install = installCommand(key, files);
      const isBlocked = /^(?:\/usr)?\/bin\/(?:false|true)$/.test(install?.command ?? '');
      // What a container's kernel has loaded is the matter of the machine it runs on.
      if (names.has(plain(key)) && !host.facts.container) {
        return [key, { value: isBlocked ? 'loaded until the next boot' : 'loaded', from: install?.path }];
      }
      return [key, { value: isBlocked ? 'blocked' : 'loadable', from: install?.path }];
    });
    return new Map(found);
  },
};
