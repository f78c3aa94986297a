import { readFile } from 'node:fs/promises';
import { ensureImages } from '#sandbox/images/images';
import { down, type Internet, internet, list, publishAuthorities, type SandboxHost, up } from '#sandbox/sandbox';

const say = (message: string) => console.error(message);

/** What stands for the internet, with the images of the demo app in its registry. */
export async function demoInternet(): Promise<Internet> {
  const there = await internet({ report: say });
  await publishAuthorities();
  const ca = await readFile(there.caFile, 'utf8');
  await ensureImages({
    ...{ registry: there.registry, address: there.address, ca, onProgress: say },
    names: ['postgres:17', 'redis:8', 'pgbouncer:1', 'demo:v1'],
  });
  return there;
}

/** Sandbox hosts of a benchmark's own, gone with it. Those that an interrupted run left behind are removed first. */
export async function benchHosts(
  names: readonly string[],
  from?: string,
): Promise<readonly SandboxHost[] & AsyncDisposable> {
  await removeHosts(names);
  const hosts: SandboxHost[] = [];
  for (const name of names) hosts.push(await up({ name, report: say, ...(from === undefined ? {} : { from }) }));
  return Object.assign(hosts, { [Symbol.asyncDispose]: () => removeHosts(names) });
}

/** Removes those of these hosts that stand. */
export async function removeHosts(names: readonly string[]): Promise<void> {
  const standing = (await list()).map(({ name }) => name).filter((name) => names.includes(name));
  if (standing.length > 0) await down(standing);
}
