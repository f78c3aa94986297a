import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { access, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { DeployError } from '#core/errors';
import { type Output, type RunOptions, run as runHere } from '#core/run';
import { baseTree, type Release, type Report } from './base.ts';
import { authorizeRoot, identifyTree, knownHosts, makeHostKeys, placeHostKeys, setResolvers } from './identity.ts';
import { locked } from './lock.ts';
import { awaitSsh, boot, initOf, kill, powerOff } from './machine.ts';
import { must } from './must.ts';
import { addressesOf, ensureNetwork, removeNetwork } from './network.ts';
import { CACHE, hostFolder, hostTree, KEY_FILE, STATE } from './places.ts';
import { isRunning } from './processes.ts';
import {
  findRecord,
  freeNumber,
  type HostRecord,
  readRecord,
  readRecords,
  removeRecord,
  writeRecord,
} from './record.ts';
import { checkRequirements } from './requirements.ts';
import { INTERNET, nameservers, refreshResolvers } from './resolvers.ts';
import { copyTree } from './tree.ts';
import { inOrder, loginOf, VARIETIES, type Variety } from './varieties.ts';

/** A throw-away VPS on this machine. */
export interface SandboxHost {
  readonly name: string;
  readonly address: string;
  readonly address6: string;
  readonly release: Release;
  readonly varieties: readonly Variety[];
  readonly state: 'running' | 'stopped';
  /** Lines for a known_hosts file, valid for its name and both addresses. */
  readonly knownHosts: string;
  /** The user that the bare host lets in. */
  readonly user: string;
  /** That user's password, where the host takes one. */
  readonly password: string | undefined;
  /** A private key that the bare host lets in, unless it takes a password only. */
  readonly keyFile: string;
  /** Its root tree as this machine sees it. */
  readonly tree: string;
}

export interface UpOptions {
  readonly name: string;
  /** debian-13 by default. */
  readonly release?: Release;
  readonly varieties?: readonly Variety[];
  /** A stopped host to copy instead of a bare release; the copy gets its own name, addresses and host keys. */
  readonly from?: string;
  /** Public keys to let in beside the sandbox's own. */
  readonly authorizedKeys?: readonly string[];
  readonly report?: Report;
}

const NAME = /^[a-z][a-z0-9-]{0,30}$/;

async function runs(record: HostRecord): Promise<boolean> {
  return record.process !== undefined && (await isRunning(record.process));
}

async function describe(record: HostRecord): Promise<SandboxHost> {
  const { name, release, varieties, user, password } = record;
  const { address, address6 } = addressesOf(record.number);
  return {
    ...{ name, address, address6, release, varieties, user, password },
    state: (await runs(record)) ? 'running' : 'stopped',
    knownHosts: knownHosts([name, address, address6], record.hostKeys),
    keyFile: KEY_FILE,
    tree: hostTree(name),
  };
}

async function sandboxKey(): Promise<string> {
  const publicKey = async () => (await readFile(`${KEY_FILE}.pub`, 'utf8')).trim();
  return await publicKey().catch(async () => {
    await must(
      ['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', 'slipway-sandbox', '-f', KEY_FILE],
      'make its key',
    );
    return await publicKey();
  });
}

function checkName(name: string): void {
  if (NAME.test(name) && name !== INTERNET) return;
  throw new DeployError('usage', `${JSON.stringify(name)} cannot be the name of a sandbox host.`, {
    hint: `Use lower-case letters, digits and hyphens, a letter first, at most 31; \`${INTERNET}\` is taken.`,
  });
}

interface Origin {
  readonly tree: string;
  readonly release: Release;
  readonly varieties: readonly Variety[];
  readonly user: string;
  readonly password: string | undefined;
  /** What is to be prepared on top of the tree. */
  readonly toPrepare: readonly Variety[];
}

async function originOf(options: UpOptions): Promise<Origin> {
  if (options.from === undefined) {
    const release = options.release ?? 'debian-13';
    const varieties = inOrder(options.varieties ?? []);
    const { user, takesPassword } = loginOf(varieties);
    const password = takesPassword ? randomBytes(12).toString('base64url') : undefined;
    const tree = await baseTree(release, options.report ?? (() => undefined));
    return { tree, release, varieties, user, password, toPrepare: varieties };
  }
  const source = await readRecord(options.from);
  if (await runs(source)) {
    throw new DeployError('sandbox-failed', `${options.from} is running, so its files cannot be copied as a whole.`, {
      hint: `Stop it first: \`deploy sandbox stop ${options.from}\`.`,
    });
  }
  const { release, varieties, user, password } = source;
  return { tree: hostTree(source.name), release, varieties, user, password, toPrepare: [] };
}

/** A record with an address of its own, in a sandbox whose network stands. */
async function admit(name: string, origin: Origin): Promise<HostRecord> {
  return await locked('state', async () => {
    await mkdir(STATE, { recursive: true, mode: 0o700 });
    const { release, varieties, user, password } = origin;
    const number = freeNumber((await readRecords()).map((record) => record.number));
    const record: HostRecord = {
      ...{ name, number, release, varieties, user, hostKeys: [], binds: [] },
      ...(password === undefined ? {} : { password }),
    };
    await writeRecord(record);
    await ensureNetwork();
    await sandboxKey();
    return record;
  });
}

async function furnish(record: HostRecord, origin: Origin, options: UpOptions): Promise<HostRecord> {
  const { name, number } = record;
  const tree = hostTree(name);
  const keys = `${hostFolder(name)}/host-keys`;
  const [hostKeys] = await Promise.all([makeHostKeys(keys), copyTree(origin.tree, tree)]);
  await placeHostKeys(keys, tree);
  await identifyTree(tree, name, number);
  await setResolvers(tree, await nameservers());
  if (options.from === undefined) {
    const authorizedKeys = [await sandboxKey(), ...(options.authorizedKeys ?? [])];
    await authorizeRoot(tree, authorizedKeys);
    for (const variety of origin.toPrepare) {
      await VARIETIES[variety].prepare({ tree, authorizedKeys, password: origin.password ?? '' });
    }
  }
  const furnished = { ...record, hostKeys };
  await writeRecord(furnished);
  return furnished;
}

async function bootRecord(record: HostRecord): Promise<HostRecord> {
  await locked('state', ensureNetwork);
  const keeper = await boot(record.name, record.binds);
  const running = { ...record, process: keeper };
  await writeRecord(running);
  await awaitSsh(record.name, keeper, addressesOf(record.number).address);
  return running;
}

/**
 * A running host of this name: a new one within 3 s once its base is built, or the one that stands already (booted if
 * it was stopped). Throws sandbox-unavailable, sandbox-host-exists, sandbox-host-unknown (`from`), sandbox-failed.
 */
export async function up(options: UpOptions): Promise<SandboxHost> {
  const { name } = options;
  checkName(name);
  await checkRequirements();
  const origin = await originOf(options);
  return await locked(`host-${name}`, async () => {
    const there = await findRecord(name);
    if (there !== undefined) {
      refuseAnother(there, origin);
      return await describe((await runs(there)) ? there : await bootRecord(there));
    }
    try {
      return await describe(await bootRecord(await furnish(await admit(name, origin), origin, options)));
    } catch (error) {
      await dismiss(name);
      throw error;
    }
  });
}

function refuseAnother(there: HostRecord, wanted: Origin): void {
  const { name, release, varieties } = there;
  if (release === wanted.release && varieties.join() === wanted.varieties.join()) return;
  const what = [release, ...varieties].join(', ');
  throw new DeployError('sandbox-host-exists', `A sandbox host ${name} stands already: ${what}.`, {
    hint: `Use another name, or remove it first with \`deploy sandbox down ${name}\`.`,
  });
}

/** Boots a stopped host again. Throws sandbox-host-unknown, sandbox-failed. */
export async function start(name: string): Promise<SandboxHost> {
  return await locked(`host-${name}`, async () => {
    const record = await readRecord(name);
    return await describe((await runs(record)) ? record : await bootRecord(record));
  });
}

/** Shuts a host down properly and keeps its disk. Throws sandbox-host-unknown. */
export async function stop(name: string): Promise<SandboxHost> {
  return await locked(`host-${name}`, async () => {
    const record = await readRecord(name);
    if (record.process !== undefined) await powerOff(name, record.process);
    return await describe(record);
  });
}

// Call it under the host's lock.
async function dismiss(name: string): Promise<void> {
  const record = await findRecord(name);
  if (record?.process !== undefined) await kill(name, record.process);
  await removeRecord(name);
  await locked('state', async () => {
    if ((await readRecords()).length > 0) return;
    await removeNetwork();
    await rm(STATE, { recursive: true, force: true });
  });
}

/**
 * Removes these hosts, or all of them, and the network with the last one. What is cached for the next time (base
 * trees, packages, images) stays unless `cache` is true. Throws sandbox-host-unknown.
 */
export async function down(names?: readonly string[], options: { readonly cache?: boolean } = {}): Promise<void> {
  const chosen = names === undefined ? (await readRecords()).map(({ name }) => name) : names;
  for (const name of names ?? []) await readRecord(name);
  await Promise.all(chosen.map(async (name) => await locked(`host-${name}`, async () => await dismiss(name))));
  if (chosen.includes(INTERNET)) await refreshResolvers();
  if (options.cache === true) await locked('state', async () => await rm(CACHE, { recursive: true, force: true }));
}

/** Every host of the sandbox. */
export async function list(): Promise<readonly SandboxHost[]> {
  return await Promise.all((await readRecords()).map(describe));
}

/**
 * Runs a program inside a running host as its root, past its sshd, and resolves with what it did, whatever its exit
 * code. Throws sandbox-host-unknown, sandbox-failed where the host does not run.
 */
export async function run(name: string, argv: readonly string[], options: RunOptions = {}): Promise<Output> {
  const record = await readRecord(name);
  const init = record.process === undefined ? undefined : await initOf(record.process);
  if (init === undefined) {
    throw new DeployError('sandbox-failed', `The sandbox host ${name} is not running.`, {
      hint: `Start it with \`deploy sandbox up ${name}\`.`,
    });
  }
  const enter = ['nsenter', `--target=${init}`, '--mount', '--uts', '--ipc', '--net', '--pid', '--root', '--wd=/root'];
  const path = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
  const environment = ['env', '--ignore-environment', path, 'HOME=/root', 'LANG=C.UTF-8'];
  return await runHere([...enter, '--', ...environment, ...argv], options);
}

/** Logs in over SSH from this terminal, or runs a remote command line there; resolves with its exit code. */
export async function shell(name: string, command: readonly string[] = []): Promise<number> {
  const host = await describe(await readRecord(name));
  const hosts = `${hostFolder(name)}/known_hosts`;
  await access(hostFolder(name));
  await writeFile(hosts, host.knownHosts, { mode: 0o600 });
  const options = [`UserKnownHostsFile=${hosts}`, 'StrictHostKeyChecking=yes', 'IdentitiesOnly=yes'];
  const child = spawn(
    'ssh',
    ['-i', host.keyFile, ...options.flatMap((option) => ['-o', option]), `${host.user}@${host.address}`, ...command],
    { stdio: 'inherit' },
  );
  const [code] = await once(child, 'exit');
  return typeof code === 'number' ? code : 1;
}
