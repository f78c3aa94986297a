import { hostname } from 'node:os';
import { declarationsFor } from '#cli/operate';
import type { ErrorCode } from '#core/error-codes';
import { DeployError } from '#core/errors';
import { loadEnvironment } from '#inventory/load';
import type { Event } from '#protocol/event';
import type { Request } from '#protocol/plan';
import type { ReleaseWord } from '#protocol/release';
import { startCommand } from '#ssh/operation';
import { builtRunner, type OnHost } from '#test/support/converge';
import type { Project } from '#test/support/project';

/** What one request about an app's releases came to. */
export interface Asked {
  readonly events: readonly Event[];
  readonly error: DeployError | undefined;
}

/** What may be done while a request runs: a word to a release that holds, or leaving it alone. */
export interface Meanwhile {
  say(word: ReleaseWord['release']): Promise<void>;
  leave(): void;
}

const BY = `tests@${hostname()}`;

/** Asks the runner of a host for one thing, and does what is to be done meanwhile. */
export async function ask(
  host: OnHost,
  request: Request,
  during: (event: Event, meanwhile: Meanwhile) => void = () => undefined,
): Promise<Asked> {
  const { connection } = host;
  const session = await connection.open(startCommand(connection.user, builtRunner()));
  const events: Event[] = [];
  let error: DeployError | undefined;
  const meanwhile: Meanwhile = {
    say: (release) => session.write(`${JSON.stringify({ release } satisfies ReleaseWord)}\n`),
    leave: () => session.end(),
  };
  for await (const line of session.lines()) {
    const event = JSON.parse(line) as Event;
    if (event.type === 'hello') {
      await session.write(`${JSON.stringify(request)}\n`);
      continue;
    }
    events.push(event);
    during(event, meanwhile);
    if (event.type === 'operation.failed') {
      const { code, message, hint } = event.error;
      error = new DeployError(code as ErrorCode, message, { hint });
    }
    if (event.type === 'operation.finished' || event.type === 'operation.failed') break;
  }
  return { events, error };
}

/** The request that releases what a project's inventory declares. */
export async function releaseRequest(host: OnHost, project: Project, name: string, hold = false): Promise<Request> {
  const environment = await loadEnvironment(project.folder, name);
  const { facts } = await host.plan([]);
  const { resources } = await declarationsFor(environment, Object.keys(environment.hosts)[0] ?? '', facts);
  const release = resources.find(({ kind }) => kind === 'release');
  if (release === undefined) throw new Error(`${name} declares no release`);
  return {
    verb: 'release',
    app: environment.app,
    environment: name,
    by: BY,
    release: release.props,
    secrets: [],
    hold,
  };
}

/** The request that goes back to a release. */
export function rollbackRequest(app: string, to?: string): Request {
  return { verb: 'rollback', app, environment: 'prod', by: BY, ...(to === undefined ? {} : { to }) };
}
