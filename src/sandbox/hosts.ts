import { randomBytes } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { DeployError } from '#core/errors';
import { baseTree, type Release, type Report } from './base.ts';
import { equippedTree } from './equipped.ts';
import { describeHost, runs, type SandboxHost } from './host.ts';
import { internet } from './internet.ts';
import { locked } from './lock.ts';
import { powerOff } from './machine.ts';
import { bootHost, dismissHost, makeHost, type Origin } from './make.ts';
import { CACHE, hostTree } from './places.ts';
import { findRecord, type HostRecord, readRecord, readRecords } from './record.ts';
import { checkRequirements } from './requirements.ts';
import { INTERNET, refreshResolvers } from './resolvers.ts';
import { inOrder, loginOf, type Variety } from './varieties.ts';

export interface UpOptions {
  readonly name: string;
  /** debian-13 by default. */
  readonly release?: Release;
  readonly varieties?: readonly Variety[];
  /** A stopped host to copy instead of a bare release; the copy gets its own name, addresses and host keys. */
  readonly from?: string;
  /** Public keys to let in beside the sandbox's own. */
  readonly authorizedKeys?: readonly string[];
  /** Lends the host every package that an earlier one downloaded: quick for tests, no measure of a first bring-up. */
  readonly aptCache?: boolean;
  /** With the packages that most hosts get from Slipway: quicker still, for what is not about a bare host. */
  readonly equipped?: boolean;
  readonly report?: Report;
}

// What `deploy up` installs on Debian 13 for an app behind a proxy, with databases and backups.
const EQUIPMENT = [
  ...['age', 'cron', 'debsums', 'docker-cli', 'docker-compose', 'docker.io', 'fail2ban', 'iptables'],
  ...['libpam-pwquality', 'logrotate', 'needrestart', 'nftables', 'nginx', 'python3-systemd', 'rclone', 'restic'],
  ...['ufw', 'unattended-upgrades', 'zstd'],
];

const NAME = /^[a-z][a-z0-9-]{0,30}$/;

function checkName(name: string): void {
  if (NAME.test(name) && name !== INTERNET) return;
  throw new DeployError('usage', `${JSON.stringify(name)} cannot be the name of a sandbox host.`, {
    hint: `Use lower-case letters, digits and hyphens, a letter first, at most 31; \`${INTERNET}\` is taken.`,
  });
}

async function bareOrigin(options: UpOptions): Promise<Origin> {
  const release = options.release ?? 'debian-13';
  const varieties = inOrder(options.varieties ?? []);
  const { user, takesPassword } = loginOf(varieties);
  const password = takesPassword ? randomBytes(12).toString('base64url') : undefined;
  const report = options.report ?? (() => undefined);
  const equipment = { name: `${release}-equipped`, release, packages: EQUIPMENT };
  const tree = await (options.equipped === true ? equippedTree(equipment, report) : baseTree(release, report));
  return { tree, release, varieties, user, password, prepared: false };
}

async function copyOrigin(from: string): Promise<Origin> {
  const { release, varieties, user, password } = await readRecord(from);
  if (await runs(from)) {
    throw new DeployError('sandbox-failed', `${from} is running, so its files cannot be copied as a whole.`, {
      hint: `Stop it first: \`deploy sandbox stop ${from}\`.`,
    });
  }
  return { tree: hostTree(from), release, varieties, user, password, prepared: true };
}

function refuseAnother({ name, release, varieties }: HostRecord, wanted: Origin): void {
  if (release === wanted.release && varieties.join() === wanted.varieties.join()) return;
  const what = [release, ...varieties].join(', ');
  throw new DeployError('sandbox-host-exists', `A sandbox host ${name} stands already: ${what}.`, {
    hint: `Use another name, or remove it first with \`deploy sandbox down ${name}\`.`,
  });
}

/**
 * A running host of this name: a new one within 3 s once its base is built, or the one that stands already (booted if
 * it was stopped). Throws sandbox-unavailable, sandbox-host-exists, sandbox-host-unknown (`from`), sandbox-failed.
 */
export async function up(options: UpOptions): Promise<SandboxHost> {
  const { name } = options;
  checkName(name);
  await checkRequirements();
  const origin = await (options.from === undefined ? bareOrigin(options) : copyOrigin(options.from));
  return await locked(`host-${name}`, async () => {
    const there = await findRecord(name);
    if (there === undefined || there.hostKeys.length === 0) {
      // One without keys was never finished: whoever made it was interrupted.
      if (there !== undefined) await dismissHost(name);
      return await describeHost(await makeHost(origin, options));
    }
    refuseAnother(there, origin);
    if (!(await runs(name))) await bootHost(there);
    return await describeHost(there);
  });
}

/** Boots a stopped host again. Throws sandbox-host-unknown, sandbox-failed. */
export async function start(name: string): Promise<SandboxHost> {
  if (name === INTERNET) {
    await readRecord(name);
    await internet();
  }
  return await locked(`host-${name}`, async () => {
    const record = await readRecord(name);
    if (!(await runs(name))) await bootHost(record);
    return await describeHost(record);
  });
}

/** Shuts a host down properly and keeps its disk. Throws sandbox-host-unknown. */
export async function stop(name: string): Promise<SandboxHost> {
  return await locked(`host-${name}`, async () => {
    const record = await readRecord(name);
    await powerOff(name);
    if (name === INTERNET) await refreshResolvers();
    return await describeHost(record);
  });
}

/**
 * Removes these hosts, or all of them, and the network with the last one. What is cached for the next time (base
 * trees, packages, images) stays unless `cache` is true. Throws sandbox-host-unknown.
 */
export async function down(names?: readonly string[], options: { readonly cache?: boolean } = {}): Promise<void> {
  await checkRequirements();
  const chosen = names ?? (await readRecords()).map(({ name }) => name);
  await Promise.all(chosen.map(readRecord));
  await Promise.all(chosen.map(async (name) => await locked(`host-${name}`, async () => await dismissHost(name))));
  if (chosen.includes(INTERNET)) await refreshResolvers();
  if (options.cache === true) await locked('state', async () => await rm(CACHE, { recursive: true, force: true }));
}

/** Every host of the sandbox, that of the internet included. */
export async function list(): Promise<readonly SandboxHost[]> {
  return await Promise.all((await readRecords()).map(describeHost));
}
