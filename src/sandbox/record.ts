import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { DeployError } from '#core/errors';
import type { Release } from './base.ts';
import { HOST_NUMBERS } from './network.ts';
import { hostFolder, STATE } from './places.ts';
import type { Variety } from './varieties.ts';

/** What the sandbox remembers of a host, in its folder's host.json. */
export interface HostRecord {
  readonly name: string;
  /** The last part of its addresses. */
  readonly number: number;
  readonly release: Release;
  readonly varieties: readonly Variety[];
  /** The user that the bare host lets in. */
  readonly user: string;
  /** That user's password, where the host takes one. */
  readonly password?: string;
  /** Its public host keys, as `type base64`; none as long as it is being made. */
  readonly hostKeys: readonly string[];
  /** Folders of this machine that it sees, as `here:there`. */
  readonly binds: readonly string[];
  /** That packages it downloads are kept for the next host. */
  readonly aptCache: boolean;
}

/** The record of a host; undefined where there is no such host. */
export async function findRecord(name: string): Promise<HostRecord | undefined> {
  const text = await readFile(`${hostFolder(name)}/host.json`, 'utf8').catch(() => undefined);
  return text === undefined ? undefined : (JSON.parse(text) as HostRecord);
}

/** The record of a host; throws sandbox-host-unknown. */
export async function readRecord(name: string): Promise<HostRecord> {
  const record = await findRecord(name);
  if (record !== undefined) return record;
  throw new DeployError('sandbox-host-unknown', `No host named ${name} is in the sandbox.`, {
    hint: `See what is there with \`deploy sandbox list\`, or make it with \`deploy sandbox up ${name}\`.`,
  });
}

/** Every host's record, by number. */
export async function readRecords(): Promise<readonly HostRecord[]> {
  const names = await readdir(`${STATE}/hosts`).catch(() => []);
  const records = await Promise.all(names.map(findRecord));
  return records.filter((record) => record !== undefined).sort((a, b) => a.number - b.number);
}

/** Writes a record whole or not at all, readable by root only: it may hold a password. */
export async function writeRecord(record: HostRecord): Promise<void> {
  const path = `${hostFolder(record.name)}/host.json`;
  await mkdir(hostFolder(record.name), { recursive: true, mode: 0o700 });
  await writeFile(`${path}.new`, JSON.stringify(record), { mode: 0o600 });
  await rename(`${path}.new`, path);
}

/** Forgets a host, and everything in its folder. */
export async function removeRecord(name: string): Promise<void> {
  await rm(hostFolder(name), { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
}

/** The lowest number that none of these hosts has; throws sandbox-failed where all are taken. */
export function freeNumber(taken: readonly number[]): number {
  for (let number = HOST_NUMBERS.first; number <= HOST_NUMBERS.last; number += 1) {
    if (!taken.includes(number)) return number;
  }
  throw new DeployError('sandbox-failed', 'The sandbox has no free address left.', {
    hint: 'Remove hosts that you no longer need: `deploy sandbox list`, `deploy sandbox down <name>`.',
  });
}
