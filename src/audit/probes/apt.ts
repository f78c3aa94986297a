import { keysIn, parseDump } from '#audit/apt-config';
import type { Found, HostProbe } from '#audit/audit';
import type { DropIn } from '#audit/drop-ins';
import type { Host } from '#resources/resource';

const FOLDER = '/etc/apt/apt.conf.d';
const MAIN = '/etc/apt/apt.conf';

/** The files in the order apt reads them (apt.conf(5)): the last one to set a key counts. */
async function files(host: Host): Promise<readonly DropIn[]> {
  // apt passes over names with other endings, such as what dpkg leaves behind.
  const names = (await host.list(FOLDER)).filter((name) => /^(?:[\w-]+|[\w.-]+\.conf)$/.test(name));
  const paths = [...names.map((name) => `${FOLDER}/${name}`), MAIN];
  return Promise.all(paths.map(async (path) => ({ path, content: (await host.readFile(path)) ?? '' })));
}

/** Keys are apt's own; case does not matter to it. */
export const apt: HostProbe = {
  name: 'apt',
  async ask(host, keys) {
    const [dump, inOrder] = await Promise.all([host.must(['apt-config', 'dump']), files(host)]);
    const values = parseDump(dump.stdout);
    const sets = inOrder.map(({ path, content }) => ({ path, keys: keysIn(content) }));
    const found = keys.map((key): readonly [string, Found] => {
      const name = key.toLowerCase();
      return [key, { value: values.get(name), from: sets.findLast((file) => file.keys.has(name))?.path }];
    });
    return new Map(found);
  },
};
