import { setResolvers } from './identity.ts';
import { addressesOf, INTERNET_NUMBER, machineNameservers } from './network.ts';
import { hostTree } from './places.ts';
import { isRunning } from './processes.ts';
import { findRecord, readRecords } from './record.ts';

/** The name of the host that stands for the internet. */
export const INTERNET = 'internet';

/** The nameservers that hosts ask: the sandbox internet's while it runs, else this machine's own. */
export async function nameservers(): Promise<readonly string[]> {
  const internet = await findRecord(INTERNET);
  const runs = internet?.process !== undefined && (await isRunning(internet.process));
  return runs ? [addressesOf(INTERNET_NUMBER).address] : await machineNameservers();
}

/** Tells every host which nameservers to ask now: after the sandbox internet came or went. */
export async function refreshResolvers(): Promise<void> {
  const [records, servers, own] = await Promise.all([readRecords(), nameservers(), machineNameservers()]);
  await Promise.all(
    records.map(async ({ name }) => await setResolvers(hostTree(name), name === INTERNET ? own : servers)),
  );
}
