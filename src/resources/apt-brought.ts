import { isInstalled, packagesNow } from '#resources/dpkg';
import type { Host } from '#resources/resource';

const BEFORE = '/var/lib/slipway/apt/before';
const BROUGHT = '/var/lib/slipway/apt/brought';
const ATTRIBUTES = { owner: 'root', group: 'root', mode: '0644' };

async function names(host: Host, path: string): Promise<ReadonlySet<string> | undefined> {
  const text = await host.readFile(path);
  return text === undefined ? undefined : new Set(text.split('\n').filter((line) => line !== ''));
}

function write(host: Host, path: string, list: Iterable<string>): Promise<void> {
  return host.writeFile(path, `${[...list].sort().join('\n')}\n`, ATTRIBUTES);
}

async function installed(host: Host): Promise<readonly string[]> {
  return [...(await packagesNow(host))].filter(([, found]) => isInstalled(found)).map(([name]) => name);
}

/** Remembers what is installed before Slipway installs something; an interrupted installation keeps its memory. */
export async function noteBefore(host: Host): Promise<void> {
  if ((await names(host, BEFORE)) === undefined) await write(host, BEFORE, await installed(host));
}

/** Remembers what an installation brought along, so that it can go again with what needed it. */
export async function noteBrought(host: Host): Promise<void> {
  const before = await names(host, BEFORE);
  if (before === undefined) return;
  const now = await installed(host);
  const brought = new Set(await names(host, BROUGHT));
  for (const name of now) if (!before.has(name)) brought.add(name);
  await write(host, BROUGHT, brought);
  await host.removeFile(BEFORE);
}

/** Packages that came with what Slipway installed. */
export async function broughtAlong(host: Host): Promise<ReadonlySet<string>> {
  return (await names(host, BROUGHT)) ?? new Set();
}
