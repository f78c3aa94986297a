import { readFile, writeFile } from 'node:fs/promises';
import { list } from './hosts.ts';
import { internet } from './internet.ts';
import { AUTHORITIES, KNOWN_HOSTS } from './places.ts';

/** Writes down the keys of the hosts that stand now. */
export async function publishHostKeys(): Promise<void> {
  const hosts = await list();
  await writeFile(
    KNOWN_HOSTS,
    hosts
      .map((host) => host.knownHosts.trimEnd())
      .join('\n')
      .concat('\n'),
    { mode: 0o644 },
  );
}

/** Writes down the authorities of what stands for the internet; it has to run. */
export async function publishAuthorities(): Promise<string> {
  const { caFile, acmeRoots } = await internet();
  const own = await readFile(caFile, 'utf8');
  await writeFile(AUTHORITIES, `${own.trimEnd()}\n${(await acmeRoots()).trimEnd()}\n`, { mode: 0o644 });
  return AUTHORITIES;
}
