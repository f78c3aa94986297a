import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { AUTHORITIES } from '#sandbox/places';
import type { Internet, SandboxHost } from '#sandbox/sandbox';

/** How an environment reaches one host. */
export interface Way {
  readonly name: string;
  readonly address: string;
  /** The host's public keys, one line each: `ssh-ed25519 AAAA…`. */
  readonly keys: readonly string[];
  readonly keyFile: string;
}

/** A project as a person would have one, in a folder of its own. */
export interface Project extends Disposable {
  readonly folder: string;
  readonly environment: string;
  readonly knownHosts: string;
}

/** The name whose site and certificate the benchmarks' app has. */
export const DOMAIN = 'bench.sandbox.test';

/** The environment that every benchmark deploys: each section that has a playbook is used. */
export const ENVIRONMENT = 'bench';

/** The way to a host by its own address, or through something that stands at another. */
export function wayTo(host: SandboxHost, address = host.address): Way {
  const keys = host.knownHosts.split('\n').flatMap((line) => {
    const [, ...key] = line.split(' ');
    return key.length === 2 ? [key.join(' ')] : [];
  });
  return { name: host.name, address, keys, keyFile: host.keyFile };
}

/** Replaces what a project declares. */
export function writeInventory({ folder, environment }: Project, declared: Readonly<Record<string, unknown>>): void {
  writeFileSync(join(folder, 'inventory', `${environment}.yaml`), stringify(declared));
}

function inventory(ways: readonly Way[], internet: Internet, domain: string): string {
  const image = (name: string) => `${internet.registry}/${name}`;
  return stringify({
    app: 'bench',
    hosts: Object.fromEntries(ways.map(({ name, address, keyFile }) => [name, { address, identityFile: keyFile }])),
    services: {
      web: {
        image: image('demo:v1'),
        healthcheck: { path: '/up' },
        environment: {
          DATABASE_URL: `postgres://app:\${POSTGRES_PASSWORD}@pgbouncer:5432/app`,
          REDIS_URL: 'redis://redis:6379',
        },
      },
    },
    routes: { [domain]: 'web:3000' },
    accessories: {
      postgres: { image: image('postgres:17'), pgbouncer: { image: image('pgbouncer:1') } },
      redis: { image: image('redis:8') },
    },
    certificates: { directory: internet.acmeDirectory, ca: AUTHORITIES },
  });
}

/** Writes a project down whose hosts are reached by these ways and pinned to their keys. */
export function makeProject(ways: readonly Way[], internet: Internet, domain = DOMAIN): Project {
  const folder = mkdtempSync(join(tmpdir(), 'slipway-bench-'));
  const knownHosts = join(folder, 'inventory', 'known_hosts');
  mkdirSync(join(folder, 'inventory'));
  writeFileSync(join(folder, 'inventory', `${ENVIRONMENT}.yaml`), inventory(ways, internet, domain));
  writeFileSync(join(folder, `.env.${ENVIRONMENT}`), 'POSTGRES_PASSWORD=bench-only-3kV9wQ\n', { mode: 0o600 });
  writeFileSync(knownHosts, ways.flatMap(({ address, keys }) => keys.map((key) => `${address} ${key}\n`)).join(''));
  return {
    folder,
    environment: ENVIRONMENT,
    knownHosts,
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  };
}
