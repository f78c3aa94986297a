import { setTimeout as sleep } from 'node:timers/promises';
import { whoAsks } from '#cli/ask';
import { abortOn, type CanaryOptions, nextText } from '#cli/canary';
import { type Measured, type Probe, rateOf, startProbe } from '#cli/measure';
import { divergence, type Together } from '#cli/meeting';
import { narrator, recorder, warn } from '#cli/narrator';
import { type Audience, exitCodeOf, hostsOf } from '#cli/operate';
import { paintFor } from '#cli/paint';
import { printError } from '#cli/print-error';
import { probeRoutes } from '#cli/probe';
import { confirmProtected } from '#cli/protection';
import { type Released, releaseHosts } from '#cli/release-hosts';
import { asMilliseconds } from '#cli/release-sentences';
import type { Shipment } from '#cli/shipment';
import { ERROR_CODES, EXIT } from '#core/error-codes';
import { DeployError } from '#core/errors';
import type { Environment, Host } from '#inventory/environment';
import type { Facts } from '#protocol/facts';
import type { Request } from '#protocol/plan';

/** Seconds that the probe goes on after the last host has flipped. */
const AFTERWARDS = 3;

/** Seconds of requests before the flip, so that there is something to compare with. */
const BEFOREHAND = 2;

export interface ReleaseOptions extends CanaryOptions {
  readonly tag?: string;
  /** `registry`, `local`, `build`, or the path of an archive. */
  readonly images?: string;
  readonly probe?: string;
  readonly wait?: boolean;
  readonly json?: boolean;
  readonly yes?: boolean;
  readonly project?: string;
}

/** What is to become live, in the words of the question that confirms it. */
export interface Plan {
  readonly environment: Environment;
  readonly doing: string;
  readonly request: (host: Host, facts: Facts, together: Together) => Promise<Request>;
  readonly hasCommand: boolean;
  /** What is sent before anything is asked. */
  readonly shipment?: Shipment;
  /** What is begun while the hosts start their runners. */
  readonly meanwhile?: () => void;
}

/** The request that goes back, to the release that served before where none is named. */
export function rollbackRequest(environment: Environment, to: string | undefined): Plan['request'] {
  return async (_host, _facts, { hold }) => ({
    verb: 'rollback',
    app: environment.app,
    environment: environment.name,
    by: whoAsks(),
    hold,
    ...(to === undefined ? {} : { to }),
  });
}

function reportProbe({ sent, failed, before, after, why }: Measured, json: boolean): void {
  if (json) {
    process.stdout.write(`${JSON.stringify({ type: 'probe.measured', sent, failed, before, after, why })}\n`);
    return;
  }
  const paint = paintFor(process.stderr);
  const lost = failed === 0 ? paint.green('none lost') : paint.red(`${failed} lost`);
  const latency = ({ p50, p99 }: Measured['before']) => `p50 ${asMilliseconds(p50)}, p99 ${asMilliseconds(p99)}`;
  process.stderr.write(
    `  ${after.failed === 0 ? paint.green('✓') : paint.red('✗')} ${paint.bold(`${sent} requests from here, `)}${lost}\n` +
      `    before the flip ${String(before.sent).padStart(5)}: ${latency(before)}\n` +
      `    from it on      ${String(after.sent).padStart(5)}: ${latency(after)}\n`,
  );
}

/** Goes back on hosts where the loss was seen too late for the release itself to be taken back. */
async function goBack(
  environment: Environment,
  late: readonly Host[],
  audience: Audience,
): Promise<readonly Released[]> {
  const request = rollbackRequest(environment, undefined);
  return releaseHosts(environment, late, { request, hasCommand: false, hold: false, wait: true, audience });
}

function isLost(why: string, host: string): DeployError {
  return new DeployError('requests-lost', `A request was lost during the flip: ${why}. The release was taken back.`, {
    hint: ERROR_CODES['requests-lost'].fix,
    host,
  });
}

interface Ended {
  readonly results: readonly Released[];
  readonly measured: Measured | undefined;
}

async function run(plan: Plan, hosts: readonly Host[], options: ReleaseOptions, audience: Audience): Promise<Ended> {
  const { environment, request } = plan;
  const rate = options.probe === undefined ? undefined : rateOf(options.probe);
  const names = hosts.map(({ name }) => name);
  const probe: Probe | undefined = rate === undefined ? undefined : startProbe(environment, names, rate);
  // Requests that were lost before anything was flipped say nothing of the release.
  const started = sleep(BEFOREHAND * 1000);
  const asked: Plan['request'] = async (...about) => {
    if (probe !== undefined) await started;
    return request(...about);
  };
  const results = await releaseHosts(environment, hosts, {
    request: asked,
    hasCommand: plan.hasCommand,
    hold: hosts.length > 1 || probe !== undefined,
    wait: options.wait === true,
    audience,
    ...(plan.shipment === undefined ? {} : { shipment: plan.shipment }),
    ...(plan.meanwhile === undefined ? {} : { meanwhile: plan.meanwhile }),
    ...(probe === undefined ? {} : { flipping: () => probe.flipping(), alarm: probe.loss }),
  });
  // What was not good enough for one host is not kept on the others, nor what was lost on the way to it.
  const stays = ({ paused, error }: Released) => paused !== undefined && error === undefined;
  const turned = results.some(({ error }) => error !== undefined);
  const abortPaused = () => {
    const names = results.filter(stays).map(({ host }) => host);
    return abortOn(
      environment,
      hosts.filter(({ name }) => names.includes(name)),
      audience,
    );
  };
  if (turned) await abortPaused();
  if (probe === undefined) return { results, measured: undefined };
  if (results.some(({ changed }) => changed)) await Promise.race([sleep(AFTERWARDS * 1000), probe.loss]);
  const measured = await probe.stop();
  const { why } = measured;
  if (why === undefined) return { results, measured };
  const late = hosts.filter(({ name }) =>
    results.some(({ host, changed, error }) => host === name && changed && !error),
  );
  if (!turned) await abortPaused();
  const back = await goBack(environment, late, audience);
  return {
    measured,
    results: results.map((result) => {
      const failure = back.find(({ host }) => host === result.host)?.error;
      // It serves the new release still, and why is what there is to mend.
      if (failure !== undefined) return { ...result, error: failure };
      const isBack = (result.changed && result.error === undefined) || result.error?.code === 'release-taken-back';
      return isBack ? { ...result, changed: false, error: isLost(why, result.host) } : result;
    }),
  };
}

/** Carries a plan out on all hosts of an environment, tells how it went, and resolves with the exit code. */
export async function carryOut(plan: Plan, options: ReleaseOptions): Promise<number> {
  const { environment } = plan;
  const json = options.json === true;
  await confirmProtected(environment, plan.doing, options.yes === true);
  const hosts = hostsOf(environment, []);
  const told = json ? recorder() : narrator(hosts.map(({ name }) => name));
  // What a host is like is no news to whoever releases twice a day.
  const audience: Audience = json
    ? told
    : {
        ...told,
        event: (event) =>
          event.type === 'hello' || event.type === 'operation.finished' ? undefined : told.event(event),
      };
  const interrupted = () => {
    told.end();
    process.stderr.write(
      `\nInterrupted here. A host that waits for others undoes what it had begun, all else goes on: \`deploy attach ${environment.name}\`.\n`,
    );
    process.exit(EXIT.interrupted);
  };
  process.once('SIGINT', interrupted);
  process.once('SIGTERM', interrupted);
  const started = performance.now();
  const { results, measured } = await run(plan, hosts, options, audience);
  told.end();
  if (measured !== undefined) reportProbe(measured, json);
  const failed = results.flatMap(({ error }) => (error === undefined ? [] : [error]));
  for (const error of failed) printError(error, { json, environment: environment.name });
  const apart = divergence(results);
  if (apart !== undefined && !json) warn(apart);
  if (failed.length > 0) return exitCodeOf(failed);
  const paused = results.find((result) => result.paused !== undefined)?.paused;
  if (paused !== undefined) {
    if (!json) process.stderr.write(nextText(environment.name, paused, paintFor(process.stderr)));
    return EXIT.done;
  }
  const changed = results.some((result) => result.changed);
  if (!json) {
    const paint = paintFor(process.stderr);
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    process.stderr.write(
      changed
        ? `  ${paint.green('✓')} ${paint.bold('done')}${paint.dim(` in ${seconds} s`)}\n`
        : `  ${paint.green('✓')} no change: that is what serves\n`,
    );
  }
  if (!changed || measured !== undefined) return EXIT.done;
  return probeRoutes(
    environment,
    hosts.map(({ name }) => name),
    { json },
  );
}
