import { divergence } from '#cli/meeting';
import { narrator, planText, recorder, warn } from '#cli/narrator';
import { type Audience, exitCodeOf, hostsOf, operate } from '#cli/operate';
import { paintFor } from '#cli/paint';
import { printError } from '#cli/print-error';
import { probeRoutes } from '#cli/probe';
import { projectDirectory } from '#cli/project';
import { confirmProtected } from '#cli/protection';
import { shipmentFor } from '#cli/shipment';
import { EXIT } from '#core/error-codes';
import { loadEnvironment } from '#inventory/load';
import type { Event } from '#protocol/event';

export interface ConvergeOptions {
  readonly host?: readonly string[];
  readonly askPassword?: boolean;
  readonly forceAllowFrom?: boolean;
  readonly json?: boolean;
  readonly exitCode?: boolean;
  readonly yes?: boolean;
  readonly project?: string;
  /** `registry`, `local`, `build`, or the path of an archive. */
  readonly images?: string;
}

/** Prints each host's plan to standard output when it is known. */
function planPrinter(inner: Audience & { end(): void }, several: boolean): Audience & { end(): void } {
  const paint = paintFor(process.stdout);
  const print = (event: Extract<Event, { type: 'plan' }>) => {
    inner.end();
    const title = several ? [paint.cyan(event.host ?? '')] : [];
    const count = event.steps.length;
    const verdict =
      count === 0
        ? `  no change, ${event.unchanged} as they should be`
        : `  ${count} to change, ${event.unchanged} as they should be`;
    const lines = [...title, ...planText(event.steps, paint, { diffs: true }), verdict];
    process.stdout.write(`${lines.join('\n')}\n`);
  };
  return {
    ...inner,
    event(event) {
      if (event.type === 'plan') print(event);
      else if (event.type !== 'operation.finished') inner.event(event);
    },
  };
}

/** `deploy plan` and `deploy up`: one path, which for a plan ends before anything is changed. */
export async function converge(verb: 'plan' | 'up', name: string, options: ConvergeOptions): Promise<number> {
  const environment = await loadEnvironment(projectDirectory(options.project), name);
  const hosts = hostsOf(environment, options.host ?? []).map((host) => host.name);
  if (verb === 'up') await confirmProtected(environment, 'change it', options.yes === true);
  const told = options.json === true ? recorder() : narrator(hosts);
  const audience = verb === 'plan' && options.json !== true ? planPrinter(told, hosts.length > 1) : told;
  if (options.json !== true) for (const warning of environment.warnings) process.stderr.write(`! ${warning}\n`);

  // What runs on a host goes on when this process is interrupted: say so once, and let go.
  const interrupted = () => {
    told.end();
    const off = verb === 'up' && hosts.length > 1 ? ', but for a release that waits for other hosts' : '';
    process.stderr.write(
      `\nInterrupted here; what runs on a host goes on${off}. Follow it with \`deploy attach ${name}\`.\n`,
    );
    process.exit(EXIT.interrupted);
  };
  process.once('SIGINT', interrupted);
  process.once('SIGTERM', interrupted);

  await using shipment = await shipmentFor(environment, options.images);
  const results = await operate(
    environment,
    {
      verb,
      hosts,
      askPassword: options.askPassword === true,
      forceAllowFrom: options.forceAllowFrom === true,
      shipment,
    },
    audience,
  );
  told.end();
  const failed = results.flatMap(({ error }) => (error === undefined ? [] : [error]));
  for (const error of failed) printError(error, { json: options.json === true, environment: name });
  const apart = divergence(results);
  if (apart !== undefined && options.json !== true) warn(apart);
  if (failed.length > 0) return exitCodeOf(failed);
  const changes = results.reduce((sum, result) => sum + result.changes, 0);
  if (verb === 'plan') return options.exitCode === true && changes > 0 ? EXIT.changes : EXIT.done;
  if (changes > 0) return await probeRoutes(environment, hosts, { json: options.json === true });
  return EXIT.done;
}
