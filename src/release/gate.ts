import { request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { DeployError } from '#core/errors';
import type { Host } from '#resources/resource';
import { type Container, containersOf, lastWords, nameOf } from './containers.ts';

export interface Door {
  readonly service: string;
  readonly addresses: readonly string[];
  readonly port: number;
  readonly path: string | undefined;
  readonly domain: string | undefined;
}

/** Seconds one question may take. */
const ANSWER = 5;

/** Milliseconds between questions: short against an app's start, long against its load. */
const PAUSE = 100;

/** Characters of an answer that are worth reading: health endpoints say in their first line what is wrong. */
const READ = 200;

type Answer =
  | { readonly status: number; readonly said: string; readonly location?: string }
  | { readonly failure: string };

function ask(address: string, door: Door): Promise<Answer> {
  return new Promise((resolve) => {
    const question = request(
      {
        host: address,
        port: door.port,
        path: door.path ?? '/',
        timeout: ANSWER * 1000,
        agent: false,
        headers: {
          host: door.domain ?? address,
          'user-agent': 'slipway-gate',
          // Apps that redirect plain http to https must see what they see behind the proxy.
          'x-forwarded-proto': 'https',
        },
      },
      (response) => {
        const { location } = response.headers;
        let said = '';
        response.setEncoding('utf8').on('data', (chunk: string) => {
          if (said.length < READ) said += chunk;
        });
        // One that breaks off has given its status all the same.
        response.once('close', () =>
          resolve({ status: response.statusCode ?? 0, said, ...(location === undefined ? {} : { location }) }),
        );
      },
    );
    question.once('timeout', () => question.destroy(new Error(`no answer within ${ANSWER} s`)));
    question.once('error', (error: NodeJS.ErrnoException) => resolve({ failure: error.code ?? error.message }));
    question.end();
  });
}

function isWell(answer: Answer, door: Door): boolean {
  if ('failure' in answer) return false;
  return door.path === undefined || (answer.status >= 200 && answer.status < 300);
}

function explain(answer: Answer | undefined, door: Door): string {
  const where = `${door.service} at port ${door.port}, ${door.path ?? '/'}`;
  if (answer === undefined) return `${where} was never asked`;
  if ('failure' in answer) {
    if (answer.failure === 'ECONNREFUSED') {
      return `${where} refuses connections: nothing listens on 0.0.0.0:${door.port} inside the container`;
    }
    return `${where} does not answer: ${answer.failure}`;
  }
  if (answer.location !== undefined) return `${where} answers ${answer.status}, a redirect to ${answer.location}`;
  const said = answer.said.trim().split('\n', 1)[0]?.slice(0, READ) ?? '';
  const isText = said !== '' && !said.startsWith('<');
  return `${where} answers ${answer.status}${isText ? `: ${said}` : ''}`;
}

/** A container that was started again since it was first looked at: in a fast loop it is hardly ever seen ended. */
async function findRestarted(
  host: Host,
  containers: readonly Container[],
  seen: Map<string, number>,
): Promise<Container | undefined> {
  for (const container of containers) {
    const now = (await host.docker<{ RestartCount: number }>(`/containers/${container.Id}/json`))?.RestartCount ?? 0;
    const before = seen.get(container.Id) ?? now;
    seen.set(container.Id, before);
    if (now > before) return container;
  }
  return undefined;
}

/**
 * Waits until every replica behind the doors answers well. Rejects with `release-rejected` and the cause by name as soon
 * as a container has ended, or when the limit in seconds is over.
 */
export async function gate(host: Host, project: string, doors: readonly Door[], limit: number): Promise<void> {
  const deadline = performance.now() + limit * 1000;
  let waiting = doors.flatMap((door) => door.addresses.map((address) => ({ door, address })));
  const last = new Map<string, Answer>();
  const restarts = new Map<string, number>();
  for (;;) {
    const answers = await Promise.all(
      waiting.map(async ({ door, address }) => {
        const answer = await ask(address, door);
        last.set(address, answer);
        return isWell(answer, door);
      }),
    );
    waiting = waiting.filter((_, index) => answers[index] !== true);
    const containers = await containersOf(host, project);
    const ended = containers.find(({ State }) => State === 'exited' || State === 'dead' || State === 'restarting');
    const crashed = ended ?? (await findRestarted(host, containers, restarts));
    if (crashed !== undefined) {
      const name = nameOf(crashed);
      const how = ended === undefined ? 'and was started again' : `(${ended.Status})`;
      throw new DeployError(
        'release-rejected',
        `The container ${name} ended right after its start ${how}. Its last words:\n${await lastWords(host, name)}`,
        { hint: 'Traffic was not touched. Mend what it says, build a new image and run `deploy up` again.' },
      );
    }
    if (waiting.length === 0) return;
    if (performance.now() >= deadline) {
      const first = waiting[0];
      const why = first === undefined ? '' : explain(last.get(first.address), first.door);
      const names = containers.map(nameOf);
      const words =
        names[0] === undefined
          ? ''
          : `\nLast words of ${names[0]}:\n${await lastWords(host, names[0], first?.door.path)}`;
      throw new DeployError('release-rejected', `The new release is not healthy after ${limit} s: ${why}${words}`, {
        hint: 'Traffic was not touched. Check the port of the route and the healthcheck path, then run `deploy up` again.',
      });
    }
    await sleep(PAUSE);
  }
}

/** Why a project did not come up, by the container that is to blame; undefined where none is. */
export async function rejection(host: Host, project: string, cause: DeployError): Promise<DeployError | undefined> {
  const containers = await containersOf(host, project);
  const ill = containers.find(({ State, Status }) => State !== 'running' || /unhealthy|starting/.test(Status));
  if (ill === undefined) return undefined;
  const name = nameOf(ill);
  return new DeployError(
    'release-rejected',
    `The container ${name} did not come up (${ill.Status}). Its last words:\n${await lastWords(host, name)}`,
    { hint: 'Traffic was not touched. Mend what it says, build a new image and run `deploy up` again.', cause },
  );
}
