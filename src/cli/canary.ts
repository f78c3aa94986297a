import { askHosts, whoAsks } from '#cli/ask';
import type { Audience } from '#cli/operate';
import type { Paint } from '#cli/paint';
import { DeployError } from '#core/errors';
import type { Environment, Host } from '#inventory/environment';
import { canaryFault } from '#inventory/formats';
import type { Canary } from '#protocol/release';

/** What the command line says of a canary. */
export interface CanaryOptions {
  readonly canary?: string;
  readonly pause?: boolean;
}

/** The shares of `--canary`: `10,50`, or `none`. */
function stepsOf(text: string): readonly number[] {
  if (text === 'none') return [];
  const parts = text.split(',').map((part) => part.trim());
  const wrong = parts.find((part) => !/^[1-9]\d?$/.test(part));
  const steps = parts.map(Number);
  const fault =
    wrong === undefined ? canaryFault(steps) : `has the step "${wrong}", which is no percentage from 1 to 99`;
  if (fault === undefined) return steps;
  throw new DeployError('usage', `--canary ${text} ${fault}.`, {
    hint: 'Write the shares of the clients in percent, the smallest first: `--canary 10,50`; or `--canary none`.',
  });
}

/** An environment whose releases are tried on the shares that the command line names, where it names any. */
export function withCanary(environment: Environment, { canary, pause = false }: CanaryOptions): Environment {
  const steps = canary === undefined ? environment.release.canary : stepsOf(canary);
  if (pause && steps.length === 0) {
    throw new DeployError('usage', '--pause has no step to pause at.', {
      hint: 'Name some: `--canary 10,50 --pause`, or `release.canary` in the inventory.',
    });
  }
  if (!pause && steps.length > 0 && environment.release.watch === 0) {
    throw new DeployError('usage', `Nobody would watch the canary: release.watch is 0s.`, {
      hint: `Give it a time in inventory/${environment.name}.yaml, or watch yourself with --pause.`,
    });
  }
  const single = environment.routes
    .flatMap(({ paths }) => paths.map(({ service }) => environment.services[service]))
    .find((service) => service?.order === 'stop-first');
  if (steps.length > 0 && single !== undefined) {
    throw new DeployError('usage', `A canary has two releases run side by side, and ${single.name} cannot run twice.`, {
      hint: 'Leave --canary out, or take `order: stop-first` off the service in the inventory.',
    });
  }
  return { ...environment, release: { ...environment.release, canary: steps } };
}

/** Takes the canary back on hosts where it has paused before another host's failure could be heard of. */
export async function abortOn(environment: Environment, hosts: readonly Host[], audience: Audience): Promise<void> {
  if (hosts.length === 0) return;
  const { app, name } = environment;
  const request = { verb: 'canary', app, environment: name, by: whoAsks(), action: 'abort', hold: false } as const;
  await askHosts(environment, hosts, request, audience.event);
}

/** What a person does next about a canary that has paused. */
export function nextText(environment: string, { next }: Canary, paint: Paint): string {
  const further = next === undefined ? 'gives it to all clients' : `goes on to ${next} % of the clients`;
  return [
    `    ${paint.bold(`deploy canary promote ${environment}`)}  ${further}`,
    `    ${paint.bold(`deploy canary abort ${environment}`)}    takes it back`,
    '',
  ].join('\n');
}
