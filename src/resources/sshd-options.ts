import type { Host } from '#resources/resource';

/** Settings whose value is a list of algorithms: `ssh -Q` knows each by its own name (ssh(1)). */
const ALGORITHMS: ReadonlySet<string> = new Set([
  'ciphers',
  'macs',
  'kexalgorithms',
  'hostkeyalgorithms',
  'pubkeyacceptedalgorithms',
  'casignaturealgorithms',
  'hostbasedacceptedalgorithms',
]);

/** What a setting may be given as; a list of algorithms is cut to those the host has. */
export type SshdValue = string | number | boolean | readonly string[];

async function offered(host: Host, option: string): Promise<ReadonlySet<string>> {
  const output = await host.once(`ssh -Q ${option}`, () => host.run(['ssh', '-Q', option]));
  return new Set(output.stdout.split('\n').filter((line) => line !== ''));
}

async function lineOf(host: Host, option: string, value: SshdValue): Promise<string> {
  if (typeof value === 'boolean') return `${option} ${value ? 'yes' : 'no'}`;
  if (typeof value === 'string' || typeof value === 'number') return `${option} ${value}`;
  if (!ALGORITHMS.has(option.toLowerCase())) return `${option} ${value.join(' ')}`;
  const known = await offered(host, option);
  const kept = known.size === 0 ? value : value.filter((name) => known.has(name));
  return `${option} ${kept.join(',')}`;
}

/** The settings as lines of an sshd configuration, algorithms this host does not have left out. */
export async function renderOptions(host: Host, settings: Readonly<Record<string, SshdValue>>): Promise<string> {
  const lines = await Promise.all(Object.entries(settings).map(([option, value]) => lineOf(host, option, value)));
  return `${lines.join('\n')}\n`;
}

/** What `sshd -T` prints, as one comparable text for each setting; several lines of one setting (AllowUsers) are sorted. */
export function parseEffective(said: string): ReadonlyMap<string, string> {
  const values = new Map<string, string[]>();
  for (const line of said.split('\n')) {
    const at = line.indexOf(' ');
    if (at < 0) continue;
    const option = line.slice(0, at).toLowerCase();
    values.set(option, [...(values.get(option) ?? []), line.slice(at + 1)]);
  }
  return new Map([...values].map(([option, all]) => [option, all.sort().join('\n')]));
}

/** Settings that sshd says it does not know, from what it prints before it gives up. */
export function unknownOptions(said: string): ReadonlySet<string> {
  const names = [...said.matchAll(/Bad configuration option: (\S+)/g)].map((match) => (match[1] ?? '').toLowerCase());
  return new Set(names);
}
