import { readPackages } from '#resources/dpkg';
import type { Host } from '#resources/resource';
import type { SshdValue } from '#resources/sshd-options';

/** What sshd on this host makes of declared settings: the file's text, and each own setting in sshd's words. */
export interface Wanted {
  readonly content: string;
  readonly effective: ReadonlyMap<string, string>;
}

interface Settings {
  readonly name: string;
  readonly settings: Readonly<Record<string, SshdValue>>;
  readonly ifKnown: Readonly<Record<string, SshdValue>>;
  readonly always: readonly string[];
}

function pathOf(name: string): string {
  return `/var/lib/slipway/sshd/${name}.json`;
}

// Asking sshd and ssh five times costs more than all other reads of a host; the same version gives the same answers.
async function keyOf(host: Host, { settings, ifKnown, always }: Settings): Promise<string | undefined> {
  const version = (await readPackages(host)).get('openssh-server')?.version;
  return version === undefined ? undefined : JSON.stringify([version, settings, ifKnown, always]);
}

/** What was found out when the same settings were applied to the same version; undefined where that is not known. */
export async function recall(host: Host, wanted: Settings): Promise<Wanted | undefined> {
  const [text, key] = await Promise.all([host.readFile(pathOf(wanted.name)), keyOf(host, wanted)]);
  if (text === undefined || key === undefined) return undefined;
  const memory = JSON.parse(text) as { key: string; content: string; effective: [string, string][] };
  return memory.key === key ? { content: memory.content, effective: new Map(memory.effective) } : undefined;
}

/** Keeps what was found out. */
export async function remember(host: Host, wanted: Settings, { content, effective }: Wanted): Promise<void> {
  const key = await keyOf(host, wanted);
  if (key === undefined) return;
  const text = `${JSON.stringify({ key, content, effective: [...effective] })}\n`;
  await host.writeFile(pathOf(wanted.name), text, { owner: 'root', group: 'root', mode: '0600' });
}

/** Forgets what was found out. */
export function forget(host: Host, name: string): Promise<void> {
  return host.removeFile(pathOf(name));
}
