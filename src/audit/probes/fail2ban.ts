import type { Found, HostProbe } from '#audit/audit';
import type { DropIn } from '#audit/drop-ins';
import { contains, parseRange } from '#core/ranges';
import type { Host } from '#resources/resource';

const FOLDER = '/etc/fail2ban';
const PROMPT = /^fail2ban> /m;

/** The files in the order fail2ban reads them (jail.conf(5)): the last one to set an option counts. */
async function files(host: Host): Promise<readonly DropIn[]> {
  const names = await host.list(`${FOLDER}/jail.d`);
  const ending = (suffix: string) => names.filter((name) => name.endsWith(suffix)).map((name) => `jail.d/${name}`);
  const all = ['jail.conf', ...ending('.conf'), 'jail.local', ...ending('.local')].map((name) => `${FOLDER}/${name}`);
  return Promise.all(all.map(async (path) => ({ path, content: (await host.readFile(path)) ?? '' })));
}

/** The last file that sets an option for a jail, else for all of them. */
export function lastToSet(jail: string, option: string, inOrder: readonly DropIn[]): string | undefined {
  const last = (section: string) =>
    inOrder.findLast(({ content }) => {
      let here = '';
      return content.split('\n').some((line) => {
        here = /^\[(.+)\]/.exec(line)?.[1] ?? here;
        return here === section && /^([\w.]+)\s*[=:]/.exec(line)?.[1] === option;
      });
    })?.path;
  return last(jail) ?? last('DEFAULT');
}

/** What fail2ban's client says to one command, as a list with commas where it draws a tree. */
export function plainAnswer(said: string): string | undefined {
  const text = said.trim();
  if (text === '' || /^Sorry but/.test(text)) return undefined;
  const members = [...text.matchAll(/^[|`]- *(.+)$/gm)].map(([, member = '']) => member.trim());
  if (members.length > 0) return members.join(',');
  if (/^No IP address\/network is ignored/.test(text)) return '';
  const [first = '', ...rest] = text.split('\n');
  return first.endsWith(':') ? rest.join(',').replaceAll(/,\s+/g, ',') : text;
}

/** Several commands in one start of the client, which costs 50 ms; undefined where no server answers. */
async function converse(host: Host, commands: readonly string[]): Promise<readonly string[] | undefined> {
  const output = await host.run(['fail2ban-client', '-i'], { input: `${commands.join('\n')}\n` });
  const [, ...answers] = output.stdout.split(PROMPT);
  return answers.length < commands.length ? undefined : answers;
}

/** Whether the address of this connection is one that no jail bans. */
async function ignores(host: Host, list: string, command: string | undefined): Promise<boolean> {
  const client = (host.facts.clientAddress ?? '').replace(/^::ffff:(?=\d+\.)/, '');
  const address = parseRange(client);
  const known = list.split(',').map((member) => parseRange(member));
  if (address !== undefined && known.some((range) => range !== undefined && contains(range, address))) return true;
  const argv = (command ?? '').split(/\s+/).filter((word) => word !== '');
  if (argv.length === 0) return false;
  return (await host.run(argv.map((word) => word.replaceAll('<ip>', client)))).exitCode === 0;
}

/** Keys are `jail:<name>`, `<jail>.<option>` and `ignores-operator`. */
export const fail2ban: HostProbe = {
  name: 'fail2ban',
  async ask(host, keys) {
    const options = keys.flatMap((key) => {
      const [, jail, option] = /^([\w-]+)\.([\w.]+)$/.exec(key) ?? [];
      return jail === undefined || option === undefined ? [] : [{ key, jail, option }];
    });
    const fixed = ['status', 'get sshd ignoreip', 'get sshd ignorecommand'];
    const [inOrder, said] = await Promise.all([
      files(host),
      converse(host, [...fixed, ...options.map(({ jail, option }) => `get ${jail} ${option}`)]),
    ]);
    const [status = '', list = '', command = '', ...values] = said ?? [];
    const jails = (/Jail list:\s*(.*)$/m.exec(status)?.[1] ?? '').split(/,\s*/);
    const found = new Map<string, Found>();
    for (const key of keys) {
      const jail = /^jail:(.+)$/.exec(key)?.[1];
      if (jail === undefined) continue;
      found.set(key, {
        value: jails.includes(jail) ? 'running' : 'missing',
        from: lastToSet(jail, 'enabled', inOrder),
      });
    }
    for (const [index, { key, jail, option }] of options.entries()) {
      const value = plainAnswer(values[index] ?? '');
      const from = lastToSet(jail, option, inOrder);
      found.set(key, said === undefined ? { cannot: 'fail2ban does not run' } : { value, from });
    }
    if (keys.includes('ignores-operator')) {
      const isKnown = said === undefined || (await ignores(host, plainAnswer(list) ?? '', plainAnswer(command)));
      const cannot =
        host.facts.clientAddress === undefined ? 'it is not known where this connection comes from' : undefined;
      found.set('ignores-operator', cannot === undefined ? { value: isKnown ? 'yes' : 'no' } : { cannot });
    }
    return found;
  },
};
