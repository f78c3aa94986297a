import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { AUTHORITIES } from '#sandbox/places';
import type { SandboxHost } from '#sandbox/sandbox';
import { scratch } from '#test/support/scratch';

/** A project of its own in a temporary folder. */
export interface Project {
  readonly folder: string;
  /** Writes `inventory/<name>.yaml` and, where given, `.env.<name>` (0600). */
  write(name: string, inventory: Readonly<Record<string, unknown>>, env?: string): void;
}

/** Makes an empty project. */
export function makeProject(): Project {
  const folder = scratch('project');
  mkdirSync(join(folder, 'inventory'));
  return {
    folder,
    write(name, inventory, env) {
      writeFileSync(join(folder, 'inventory', `${name}.yaml`), stringify(inventory));
      if (env === undefined) return;
      writeFileSync(join(folder, `.env.${name}`), env);
      chmodSync(join(folder, `.env.${name}`), 0o600);
    },
  };
}

/** The demo app with PostgreSQL and Redis on a sandbox host, as a person would declare it. */
export function shopOn(host: SandboxHost, domain: string): Record<string, unknown> {
  return {
    app: 'shop',
    hosts: { vps: { address: host.address, identityFile: host.keyFile, user: host.user } },
    services: {
      web: {
        image: 'registry.sandbox.test/demo:v1',
        healthcheck: { path: '/up' },
        environment: {
          DATABASE_URL: 'postgres://app:${POSTGRES_PASSWORD}@pgbouncer:5432/app',
          REDIS_URL: 'redis://redis:6379',
        },
      },
    },
    routes: { [domain]: 'web:3000' },
    accessories: {
      postgres: {
        image: 'registry.sandbox.test/postgres:17',
        pgbouncer: { image: 'registry.sandbox.test/pgbouncer:1' },
      },
      redis: { image: 'registry.sandbox.test/redis:8' },
    },
    certificates: { directory: 'https://acme.sandbox.test:14000/dir', ca: AUTHORITIES },
  };
}
