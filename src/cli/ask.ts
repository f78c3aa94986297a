import { hostname, userInfo } from 'node:os';
import { failureOf } from '#cli/operate';
import { runnerFile } from '#cli/project';
import { reach } from '#cli/reach';
import { asDeployError, DeployError } from '#core/errors';
import type { Environment, Host } from '#inventory/environment';
import type { Event } from '#protocol/event';
import type { Request } from '#protocol/plan';
import type { Connection } from '#ssh/connection';
import { type HostSession, openHost } from '#ssh/operation';
import { type Bundle, readBundle } from '#ssh/runner';

/** Who asks, as a host writes it down. */
export function whoAsks(): string {
  return `${userInfo().username}@${hostname()}`;
}

/** A host we are logged in to, with its runner waiting for one request. */
export interface Visit extends AsyncDisposable {
  readonly connection: Connection;
  readonly bundle: Bundle;
  readonly session: HostSession;
}

/**
 * Goes to a host of an environment; the runner is brought where it is not there yet. What is to be done `meanwhile` is
 * begun while the host starts it.
 */
export async function visit(
  environment: Environment,
  host: Host,
  say: (message: string) => void,
  meanwhile: () => void = () => undefined,
): Promise<Visit> {
  const bundle = readBundle(runnerFile());
  say(`connecting to ${host.address}`);
  const connection = await reach(environment, host, { askPassword: false, bundle });
  meanwhile();
  try {
    const session = await openHost(connection, bundle, say);
    return { connection, bundle, session, [Symbol.asyncDispose]: () => connection.close() };
  } catch (error) {
    await connection.close();
    throw error;
  }
}

/** What one host answered: its events, and the error it ended with. */
export interface Answered {
  readonly host: string;
  readonly events: readonly Event[];
  readonly error: DeployError | undefined;
}

/** Asks every host the same at the same time; one's failure does not stop the others. */
export function askHosts(
  environment: Environment,
  hosts: readonly Host[],
  request: Request,
  listen: (event: Event) => void = () => undefined,
): Promise<readonly Answered[]> {
  return Promise.all(
    hosts.map(async (host): Promise<Answered> => {
      const events: Event[] = [];
      try {
        await using there = await visit(environment, host, () => undefined);
        for await (const event of there.session.ask(request)) {
          if (event.type === 'operation.failed') return { host: host.name, events, error: failureOf(event, host.name) };
          events.push(event);
          listen(event);
        }
        return { host: host.name, events, error: undefined };
      } catch (error) {
        return { host: host.name, events, error: asDeployError(error).at({ host: host.name }) };
      }
    }),
  );
}

/** The one host that is meant: the only one, or the one that was named. */
export function oneHost(environment: Environment, named: string | undefined): Host {
  const hosts = Object.values(environment.hosts);
  const chosen = named === undefined ? hosts[0] : environment.hosts[named];
  if (chosen !== undefined && (named !== undefined || hosts.length === 1)) return chosen;
  const names = Object.keys(environment.hosts).join(', ');
  throw new DeployError(
    'usage',
    named === undefined ? `${environment.name} has several hosts.` : `${environment.name} has no host ${named}.`,
    { hint: `Name one of them with --host: ${names}.` },
  );
}
