import type { Found, HostProbe } from '#audit/audit';
import { type DropIn, overriding } from '#audit/drop-ins';
import type { Host } from '#resources/resource';

// In the order of their right to hide one another (systemd.unit(5) for the folders, journald.conf(5) for what is read).
const FOLDERS = ['/etc/systemd', '/run/systemd', '/usr/local/lib/systemd', '/usr/lib/systemd'];

/** The last file to set an option of a section, and what it sets; an empty value takes back what was set before. */
export function lastValue(section: string, option: string, files: readonly DropIn[]): Found {
  let found: Found = {};
  for (const { path, content } of files) {
    let here = '';
    for (const line of content.split('\n')) {
      here = /^\s*\[(.+)\]/.exec(line)?.[1] ?? here;
      const [, name, value = ''] = /^\s*([A-Za-z]+)\s*=\s*(.*?)\s*$/.exec(line) ?? [];
      if (here === section && name === option) found = value === '' ? {} : { value, from: path };
    }
  }
  return found;
}

async function filesOf(host: Host, name: string): Promise<readonly DropIn[]> {
  const mains = await Promise.all(
    FOLDERS.map(async (folder) => ({ path: `${folder}/${name}`, content: await host.readFile(`${folder}/${name}`) })),
  );
  const main = mains.find(({ content }) => content !== undefined);
  const dropIns = await overriding(
    host,
    FOLDERS.map((folder) => `${folder}/${name}.d`),
    '.conf',
  );
  return [...(main === undefined ? [] : [{ path: main.path, content: main.content ?? '' }]), ...dropIns];
}

/** Keys are `<file>:<section>.<option>`, such as `journald.conf:Journal.Storage`. */
export const systemd: HostProbe = {
  name: 'systemd',
  async ask(host, keys) {
    const found = keys.map(async (key): Promise<readonly [string, Found]> => {
      const [, name, section, option] = /^([\w.-]+):(\w+)\.(\w+)$/.exec(key) ?? [];
      if (name === undefined || section === undefined || option === undefined) {
        return [key, { cannot: `an audit knows no setting \`${key}\`` }];
      }
      return [key, lastValue(section, option, await host.once(`systemd ${name}`, () => filesOf(host, name)))];
    });
    return new Map(await Promise.all(found));
  },
};
