import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { answerProof, answerWays, type Prover } from '#cli/guard-proof';
import type { ErrorCode } from '#core/error-codes';
import { DeployError } from '#core/errors';
import type { Environment } from '#inventory/environment';
import type { Event } from '#protocol/event';
import type { Facts } from '#protocol/facts';
import type { Declaration, Step } from '#protocol/plan';
import type { Declared } from '#resources/resource';
import type { SandboxHost } from '#sandbox/sandbox';
import { type Connection, connect } from '#ssh/connection';
import { type HostSession, loginAfresh, openHost, prove } from '#ssh/operation';
import { type Bundle, readBundle } from '#ssh/runner';
import { scratch } from '#test/support/scratch';

/** What one run through the real engine on a real host did. */
export interface Run {
  readonly events: readonly Event[];
  /** What differed before. */
  readonly steps: readonly Step[];
  readonly facts: Facts;
  /** How it ended when it failed. */
  readonly error: DeployError | undefined;
}

let bundle: Bundle | undefined;

/** The runner, built from the sources as they are now, once for each test file. */
export function builtRunner(): Bundle {
  if (bundle !== undefined) return bundle;
  const outdir = scratch('runner');
  execFileSync('node', ['scripts/build.mjs', '--runner-only', '--outdir', outdir], { stdio: 'inherit' });
  bundle = readBundle(join(outdir, 'slipway-host.mjs'));
  return bundle;
}

/** A real host, and resources applied to it by the real engine over real SSH. */
export interface OnHost extends AsyncDisposable {
  readonly connection: Connection;
  plan(resources: readonly Declared[], options?: RunOptions): Promise<Run>;
  up(resources: readonly Declared[], options?: RunOptions): Promise<Run>;
  /** Runs a shell script on the host, as a tool other than the resource's own to see what is so. */
  sh(script: string): Promise<{ code: number; stdout: string; stderr: string }>;
}

export interface RunOptions {
  readonly app?: string;
  readonly secrets?: readonly string[];
  /** Whom a guarded change is proven as; root by default. `nobody` refuses every proof at once. */
  readonly loginUser?: string;
  /** Answers the guard as `deploy up` does, for this environment's host of the sandbox host's name. */
  readonly proveAs?: Environment;
  /** `--force-allow-from`. */
  readonly force?: boolean;
  /** Hears every event before the guard is answered; resolving with false, the guard gets no answer. */
  readonly onEvent?: (event: Event) => Promise<boolean | undefined>;
}

/** Connects to a sandbox host; the runner is brought when the first resources are. */
export async function onHost(host: SandboxHost): Promise<OnHost> {
  const knownHosts = join(scratch('known'), 'known_hosts');
  writeFileSync(knownHosts, `${host.knownHosts.trimEnd()}\n`);
  const login = (user: string) =>
    connect(
      { name: host.name, address: host.address, user, identityFile: host.keyFile },
      { knownHosts: [knownHosts], agent: false },
    );
  const connection = await login(host.user);
  const runner = builtRunner();

  function proverFor(environment: Environment, session: HostSession, options: RunOptions): Prover {
    const declared = environment.hosts[host.name];
    if (declared === undefined) throw new Error(`${environment.name} has no host ${host.name}`);
    const forceAllowFrom = options.force === true;
    return { environment, host: declared, bundle: runner, connection, session, askPassword: false, forceAllowFrom };
  }

  async function ask(verb: 'plan' | 'up', resources: readonly Declared[], options: RunOptions = {}): Promise<Run> {
    const session = await openHost(connection, runner, () => undefined);
    const { proveAs: environment } = options;
    const loginUser = environment?.ssh.user ?? options.loginUser ?? host.user;
    const prover = environment === undefined ? undefined : proverFor(environment, session, options);
    const events: Event[] = [];
    let steps: readonly Step[] = [];
    let error: DeployError | undefined;
    const declarations: Declaration[] = resources.map((resource) => ({ ...resource, playbook: 'test' }));
    const request = {
      verb,
      app: options.app ?? 'test',
      environment: 'test',
      by: 'tests',
      resources: declarations,
      secrets: [...(options.secrets ?? [])],
      loginUser,
    };
    for await (const event of session.ask(request)) {
      events.push(event);
      if (event.type === 'plan') steps = event.steps;
      if (event.type === 'operation.failed') {
        const { code, message, hint, resource } = event.error;
        error = new DeployError(code as ErrorCode, message, { hint, ...(resource === undefined ? {} : { resource }) });
      }
      if ((await options.onEvent?.(event)) === false) continue;
      if (prover !== undefined) {
        if (event.type === 'guard.ways-wanted') void answerWays(prover);
        if (event.type === 'guard.proof-wanted') void answerProof(prover, event.guard, event.ways);
        continue;
      }
      if (event.type === 'guard.ways-wanted') {
        await session.tellWays({ ways: [{ family: 4, address: host.address }], broken: [] });
      }
      if (event.type === 'guard.proof-wanted') {
        const { guard } = event;
        if (loginUser === 'nobody') {
          await session.refuseProof({ guard, family: 4, port: 22, failure: 'this test refuses it' });
        } else {
          await using fresh = await loginAfresh(() => login(loginUser));
          await prove(fresh, runner, { guard, family: 4, user: loginUser, through: 'fresh' });
        }
      }
    }
    return { events, steps, facts: session.hello.facts, error };
  }

  return {
    connection,
    plan: (resources, options) => ask('plan', resources, options),
    up: (resources, options) => ask('up', resources, options),
    sh: (script) => connection.exec('sh -s', { input: script, timeout: 300 }),
    [Symbol.asyncDispose]: () => connection.close(),
  };
}
