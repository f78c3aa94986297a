import { readFile } from 'node:fs/promises';
import type { Release } from './base.ts';
import { knownHosts } from './identity.ts';
import { keeperOf } from './machine.ts';
import { must } from './must.ts';
import { addressesOf } from './network.ts';
import { hostTree, KEY_FILE } from './places.ts';
import type { HostRecord } from './record.ts';
import type { Variety } from './varieties.ts';

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

/** Whether a host runs now. */
export async function runs(name: string): Promise<boolean> {
  return (await keeperOf(name)) !== undefined;
}

/** A host as others see it, from what is remembered of it and whether it runs. */
export async function describeHost(record: HostRecord): Promise<SandboxHost> {
  const { name, release, varieties, user, password } = record;
  const { address, address6 } = addressesOf(record.number);
  return {
    ...{ name, address, address6, release, varieties, user, password },
    state: (await runs(name)) ? 'running' : 'stopped',
    knownHosts: knownHosts([name, address, address6], record.hostKeys),
    keyFile: KEY_FILE,
    tree: hostTree(name),
  };
}

/** The public half of the sandbox's key pair, made when it is first asked for; call it under the state lock. */
export async function sandboxKey(): Promise<string> {
  const publicKey = async () => (await readFile(`${KEY_FILE}.pub`, 'utf8')).trim();
  return await publicKey().catch(async () => {
    await must(
      ['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', 'slipway-sandbox', '-f', KEY_FILE],
      'make its key',
    );
    return await publicKey();
  });
}
