import { hostname, userInfo } from 'node:os';
import { join } from 'node:path';
import { answerProof, answerWays, type Prover } from '#cli/guard-proof';
import { keepRecognizable } from '#cli/host-key';
import { Meeting, withEchoes } from '#cli/meeting';
import { packageDirectory, runnerFile } from '#cli/project';
import { isInteractive } from '#cli/prompter';
import { type ReachOptions, reach } from '#cli/reach';
import { type Shipment, withPins } from '#cli/shipment';
import { ERROR_CODES, type ErrorCode, EXIT } from '#core/error-codes';
import { asDeployError, DeployError } from '#core/errors';
import type { Environment, Host } from '#inventory/environment';
import { assemble } from '#plan/assemble';
import type { Warning } from '#playbook/playbook';
import { preflight } from '#playbook/preflight';
import { templates } from '#playbook/render';
import type { Event } from '#protocol/event';
import type { Facts } from '#protocol/facts';
import type { ConvergeRequest, Declaration } from '#protocol/plan';
import { openHost } from '#ssh/operation';
import { type Bundle, readBundle } from '#ssh/runner';

/** Where events and local progress go. */
export interface Audience {
  event(event: Event): void;
  /** What the laptop itself is doing for a host: connecting, bringing the runner. */
  progress(host: string, message: string): void;
}

export interface OperateOptions {
  readonly verb: 'plan' | 'up';
  /** Only these hosts; all when empty. */
  readonly hosts: readonly string[];
  readonly askPassword: boolean;
  /** `ssh.allowFrom` counts even where it shuts out the address one is connected from. */
  readonly forceAllowFrom: boolean;
  /** Where the release's images come from, if not from a registry. */
  readonly shipment: Shipment;
}

/** How it ended on one host. */
export interface HostResult {
  readonly host: string;
  readonly changes: number;
  /** Whether requests go to another release than before. */
  readonly changed: boolean;
  readonly error: DeployError | undefined;
}

// Templates are compiled once, however many hosts there are.
const renderers = new WeakMap<Environment, ReturnType<typeof templates>>();

function rendererOf(environment: Environment): ReturnType<typeof templates> {
  const known = renderers.get(environment);
  if (known !== undefined) return known;
  const render = templates([join(environment.directory, 'templates'), join(packageDirectory(), 'templates')]);
  renderers.set(environment, render);
  return render;
}

/** Loads the playbooks while a host is on its way; what is wrong with them is said where they are used. */
export function loadPlaybooks(): void {
  import('#playbooks/index').catch(() => undefined);
}

/** Everything that the playbooks declare for a host of an environment, and what they have to say of it beside the plan. */
export async function declarationsFor(
  environment: Environment,
  host: string,
  facts: Facts,
  { forceAllowFrom = false }: Partial<Pick<OperateOptions, 'forceAllowFrom'>> = {},
): Promise<{ readonly resources: readonly Declaration[]; readonly warnings: readonly Warning[] }> {
  const { PLAYBOOKS } = await import('#playbooks/index');
  const context = { environment, host, facts, forceAllowFrom, render: rendererOf(environment) };
  return {
    resources: assemble(
      PLAYBOOKS.map((playbook) => ({ playbook: playbook.name, resources: playbook.resources(context) })),
    ),
    warnings: PLAYBOOKS.flatMap((playbook) => playbook.warnings?.(context) ?? []),
  };
}

async function operateOn(
  environment: Environment,
  host: Host,
  bundle: Bundle,
  options: OperateOptions & ReachOptions,
  audience: Audience,
  meeting: Meeting | undefined,
): Promise<HostResult> {
  const attendance = meeting?.attend(host.name);
  let changes = 0;
  const ended = (error?: DeployError): HostResult => {
    attendance?.end(error === undefined);
    return { host: host.name, changes, changed: attendance?.hasFlipped === true, error };
  };
  try {
    audience.progress(host.name, `connecting to ${host.address}`);
    await using connection = await reach(environment, host, options);
    loadPlaybooks();
    const warn = (message: string, hint?: string) => {
      const said = hint === undefined ? { message } : { message, hint };
      audience.event({ type: 'warning', ...said, at: new Date().toISOString(), host: host.name });
    };
    for (const message of connection.warnings) warn(message);
    const session = await openHost(connection, bundle, (message) => audience.progress(host.name, message));
    const { facts } = session.hello;
    audience.event({ ...session.hello, host: host.name });
    preflight(environment, host.name, facts, Date.now());
    const pinned = options.verb === 'up' ? await keepRecognizable(environment, connection) : undefined;
    if (pinned !== undefined) warn(pinned);
    const { resources, warnings } = await declarationsFor(environment, host.name, facts, options);
    for (const { message, hint } of warnings) warn(message, hint);
    if (options.verb === 'up') {
      const note = (message: string) =>
        audience.event({ type: 'progress', message, at: new Date().toISOString(), host: host.name });
      await options.shipment.bring({ connection, bundle }, (message) => audience.progress(host.name, message), note);
    }
    const request: ConvergeRequest = {
      verb: options.verb,
      app: environment.app,
      environment: environment.name,
      by: `${userInfo().username}@${hostname()}`,
      resources: [...withPins(resources, options.shipment)],
      secrets: Object.values(environment.secrets),
      loginUser: environment.ssh.user,
      ...meeting?.askedOf(host.name),
    };
    const { forceAllowFrom } = options;
    const askPassword = isInteractive();
    const prover: Prover = { environment, host, bundle, connection, session, askPassword, forceAllowFrom };
    for await (const event of session.ask(request)) {
      audience.event(event);
      attendance?.hear(event, session);
      if (event.type === 'plan') changes = event.steps.length;
      if (event.type === 'guard.ways-wanted') void answerWays(prover);
      if (event.type === 'guard.proof-wanted') void answerProof(prover, event.guard, event.ways);
      if (event.type === 'operation.failed') return ended(failureOf(event, host.name));
    }
    return ended();
  } catch (error) {
    return ended(asDeployError(error).at({ host: host.name }));
  }
}

/** The error that an operation on a host ended with. */
export function failureOf({ error }: Extract<Event, { type: 'operation.failed' }>, host: string): DeployError {
  const { code, message, hint, resource } = error;
  const known = code in ERROR_CODES ? (code as ErrorCode) : 'internal';
  return new DeployError(known, message, { hint, host, ...(resource === undefined ? {} : { resource }) });
}

/** The exit code of a run that failed on some hosts; what another host's failure has called off has none of its own. */
export function exitCodeOf(failed: readonly DeployError[]): number {
  const causes = failed.filter(({ code }) => code !== 'other-host-failed').map(({ exitCode }) => exitCode);
  const [first = EXIT.failed] = causes;
  return causes.every((code) => code === first) ? first : EXIT.failed;
}

/**
 * Plans or applies an environment on its hosts, all of them at the same time. One's failure stops nothing on the others
 * but a release, which goes live on all or on none.
 */
export async function operate(
  environment: Environment,
  options: OperateOptions,
  audience: Audience,
): Promise<readonly HostResult[]> {
  const bundle = readBundle(runnerFile());
  const chosen = hostsOf(environment, options.hosts);
  const names = chosen.map(({ name }) => name);
  // One host alone goes on to its end whatever becomes of us.
  const isTogether = options.verb === 'up' && names.length > 1;
  const meeting = isTogether ? new Meeting(names, environment.release.command !== undefined) : undefined;
  const results = chosen.map((host) => operateOn(environment, host, bundle, { ...options, bundle }, audience, meeting));
  return withEchoes(await Promise.all(results));
}

/** The environment's hosts, or those named; a name it does not have is an error. */
export function hostsOf(environment: Environment, named: readonly string[]): readonly Host[] {
  const unknown = named.find((name) => environment.hosts[name] === undefined);
  if (unknown !== undefined) {
    throw new DeployError('usage', `The environment ${environment.name} has no host ${unknown}.`, {
      hint: `Its hosts are ${Object.keys(environment.hosts).join(', ')}.`,
    });
  }
  return Object.values(environment.hosts).filter(({ name }) => named.length === 0 || named.includes(name));
}
