import { rename, writeFile } from 'node:fs/promises';
import { describeHost } from './host.ts';
import { locked } from './lock.ts';
import { KNOWN_HOSTS } from './places.ts';
import { readRecords } from './record.ts';

/** Writes down the keys of the hosts that stand now; nothing where none does. */
export async function publishHostKeys(): Promise<void> {
  await locked('known-hosts', async () => {
    const hosts = await Promise.all((await readRecords()).map(describeHost));
    if (hosts.length === 0) return;
    await writeFile(`${KNOWN_HOSTS}.new`, hosts.map((host) => host.knownHosts).join(''), { mode: 0o644 });
    await rename(`${KNOWN_HOSTS}.new`, KNOWN_HOSTS);
  });
}
