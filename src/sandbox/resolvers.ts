import { runs } from './host.ts';
import { setResolvers } from './identity.ts';
import { addressesOf, INTERNET_NUMBER, machineNameservers } from './network.ts';
import { hostTree } from './places.ts';
import { readRecords } from './record.ts';

/** The name of the host that stands for the internet. */
export const INTERNET = 'internet';

/** The nameservers that hosts ask: the sandbox internet's while it runs, else this machine's own. */
export async function nameservers(): Promise<readonly string[]> {
  return (await runs(INTERNET)) ? [addressesOf(INTERNET_NUMBER).address] : await machineNameservers();
}

/** Tells every host which nameservers to ask now: after the sandbox internet came or went. */
export async function refreshResolvers(): Promise<void> {
  const [records, servers, own] = await Promise.all([readRecords(), nameservers(), machineNameservers()]);
  await Promise.all(
    records.map(async ({ name }) => await setResolvers(hostTree(name), name === INTERNET ? own : servers)),
  );
}
