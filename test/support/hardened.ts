import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { expect } from 'vitest';
import type { Environment } from '#inventory/environment';
import { assemble } from '#plan/assemble';
import type { Playbook } from '#playbook/playbook';
import { type Declared, file } from '#playbook/resources';
import { app } from '#playbooks/app';
import type { Facts } from '#protocol/facts';
import { renderTables, tableOf } from '#release/route-tables';
import { releaseKind } from '#resources/release';
import { run, type SandboxHost } from '#sandbox/sandbox';
import { environments, render } from '#test/unit/playbooks/environments';
import { onHost } from './converge.ts';

/** An environment for one sandbox host, with nothing in it but what a test is about. */
export function environmentOf(sandbox: SandboxHost, changes: Partial<Environment> = {}): Environment {
  const [any] = fc.sample(environments, { numRuns: 1, seed: 1 });
  if (any === undefined) throw new Error('fast-check gave no environment');
  return {
    ...any,
    app: 'shop',
    ssh: {
      user: 'deploy',
      authorizedKeys: [readFileSync(`${sandbox.keyFile}.pub`, 'utf8').trim()],
      allowFrom: 'any',
      port: undefined,
      options: {},
    },
    firewall: { allow: [] },
    harden: { ...any.harden, sysctl: {}, swap: undefined, auditd: false },
    docker: { ...any.docker, registries: {} },
    services: {},
    routes: [],
    accessories: {},
    proxy: { ...any.proxy, rateLimit: undefined },
    ...changes,
  };
}

/** All that some playbooks declare for a host, as one list. */
export function declaredBy(
  playbooks: readonly Playbook[],
  environment: Environment,
  facts: Facts,
  more: { readonly forceAllowFrom?: boolean } = {},
): readonly Declared[] {
  return assemble(
    playbooks.map((playbook) => ({
      playbook: playbook.name,
      resources: playbook.resources({ environment, host: 'web', facts, render, ...more }),
    })),
  );
}

/** What nginx is told of an app's routes by its release, where a test brings the sites of its domains without one. */
export function routesBy(environment: Environment, facts: Facts): Declared {
  const declared = app.resources({ environment, host: 'web', facts, render }).find(({ kind }) => kind === 'release');
  const content = renderTables(environment.app, { a: tableOf(releaseKind.props.parse(declared?.props)) });
  return file({ path: `/etc/nginx/conf.d/slipway-${environment.app}-routes.conf`, content });
}

/** Makes a bare host what the playbooks say; from then on it lets in the environment's own user alone. */
export async function harden(
  sandbox: SandboxHost,
  playbooks: readonly Playbook[],
  environment: Environment,
): Promise<void> {
  await using host = await onHost(sandbox);
  const { facts } = await host.plan([]);
  const { error } = await host.up(declaredBy(playbooks, environment, facts), { loginUser: environment.ssh.user });
  expect(error?.message).toBeUndefined();
}

/** What a script prints as root of a sandbox host, past its sshd and its bans, without the line break at its end. */
export async function inside(name: string, script: string): Promise<string> {
  const { stdout, stderr } = await run(name, ['sh', '-s'], { input: `{ ${script}\n} 2>&1`, timeout: 300 });
  return `${stdout}${stderr}`.trimEnd();
}
