import { mkdir, rm } from 'node:fs/promises';
import type { Release } from './base.ts';
import { fillDisk, makeDisk, mountDisk, unmountDisk } from './disk.ts';
import { publishRecords } from './dns.ts';
import { sandboxKey } from './host.ts';
import { authorizeRoot, identifyTree, makeHostKeys, placeHostKeys, setResolvers } from './identity.ts';
import { locked } from './lock.ts';
import { awaitSsh, boot, kill } from './machine.ts';
import { addressesOf, ensureNetwork, FIXED_NUMBERS, removeNetwork } from './network.ts';
import { keepPackages, lendPackages } from './packages.ts';
import { hostFolder, hostTree, STATE } from './places.ts';
import { findRecord, freeNumber, type HostRecord, readRecords, removeRecord, writeRecord } from './record.ts';
import { nameservers } from './resolvers.ts';
import { copyTree } from './tree.ts';
import { publishHostKeys } from './trust.ts';
import { bytesLeftOf, VARIETIES, type Variety } from './varieties.ts';

/** What a host is made from. */
export interface Origin {
  readonly tree: string;
  readonly release: Release;
  readonly varieties: readonly Variety[];
  readonly user: string;
  readonly password: string | undefined;
  /** That the tree has been a host before: its logins and varieties stay as they are. */
  readonly prepared: boolean;
}

/** What is asked of one host beyond its origin. */
export interface Wish {
  readonly name: string;
  /** Its address number; the lowest free one by default. */
  readonly number?: number;
  readonly binds?: readonly string[];
  readonly authorizedKeys?: readonly string[];
  readonly aptCache?: boolean;
  /** Last changes to its tree before its first boot. */
  readonly finish?: (tree: string) => Promise<void>;
}

/** A record with an address of its own, in a sandbox that has its key. */
async function admit(origin: Origin, wish: Wish): Promise<HostRecord> {
  return await locked('state', async () => {
    await mkdir(STATE, { recursive: true, mode: 0o700 });
    const { release, varieties, user, password } = origin;
    const record: HostRecord = {
      ...{ name: wish.name, release, varieties, user, hostKeys: [] },
      number: wish.number ?? FIXED_NUMBERS[wish.name] ?? freeNumber((await readRecords()).map(({ number }) => number)),
      binds: wish.binds ?? [],
      aptCache: wish.aptCache ?? false,
      ...(password === undefined ? {} : { password }),
    };
    await writeRecord(record);
    await sandboxKey();
    return record;
  });
}

async function prepare(origin: Origin, wish: Wish, tree: string): Promise<void> {
  const authorizedKeys = [await sandboxKey(), ...(wish.authorizedKeys ?? [])];
  await authorizeRoot(tree, authorizedKeys);
  for (const variety of origin.varieties) {
    await VARIETIES[variety].prepare({ tree, authorizedKeys, password: origin.password ?? '' });
  }
}

async function furnish(record: HostRecord, origin: Origin, wish: Wish): Promise<HostRecord> {
  const { name, number } = record;
  const tree = hostTree(name);
  const keys = `${hostFolder(name)}/host-keys`;
  const bytesLeft = origin.prepared ? undefined : bytesLeftOf(origin.varieties);
  if (bytesLeft !== undefined) await makeDisk(name);
  const [hostKeys] = await Promise.all([makeHostKeys(keys), copyTree(origin.tree, tree)]);
  await placeHostKeys(keys, tree);
  await identifyTree(tree, name, number);
  await setResolvers(tree, await nameservers());
  if (record.aptCache) await lendPackages(tree, record.release);
  if (!origin.prepared) await prepare(origin, wish, tree);
  if (wish.finish !== undefined) await wish.finish(tree);
  if (bytesLeft !== undefined) await fillDisk(name, bytesLeft);
  const furnished = { ...record, hostKeys };
  await writeRecord(furnished);
  return furnished;
}

/** Boots a host that does not run, and waits for its sshd; call it under the host's lock. */
export async function bootHost(record: HostRecord): Promise<void> {
  await locked('state', ensureNetwork);
  await mountDisk(record.name);
  const keeper = await boot(record.name, record.binds);
  await awaitSsh(record.name, keeper, addressesOf(record.number).address);
}

/** Makes a host and boots it, or leaves nothing of it; call it under the host's lock. */
export async function makeHost(origin: Origin, wish: Wish): Promise<HostRecord> {
  try {
    const record = await furnish(await admit(origin, wish), origin, wish);
    await bootHost(record);
    await Promise.all([publishRecords(), publishHostKeys()]);
    return record;
  } catch (error) {
    await dismissHost(wish.name);
    throw error;
  }
}

/** Ends a host and removes it, and the network with the last one; call it under the host's lock. */
export async function dismissHost(name: string): Promise<void> {
  await kill(name);
  const record = await findRecord(name);
  if (record?.aptCache === true) await keepPackages(hostTree(name), record.release);
  await unmountDisk(name);
  await removeRecord(name);
  await locked('state', async () => {
    if ((await readRecords()).length > 0) return;
    await removeNetwork();
    await rm(STATE, { recursive: true, force: true });
  });
  await Promise.all([publishRecords(), publishHostKeys()]);
}
