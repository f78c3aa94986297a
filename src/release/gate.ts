import { setTimeout as sleep } from 'node:timers/promises';
import type { Host } from '#resources/resource';
import { causeOfAnswer, causeOfEnd, causeOfProxied, rejected } from './cause.ts';
import { type Inspected, inspectAll, nameOf } from './containers.ts';
import { type Answer, askReplica, askThroughProxy, type Door, isWell, isWellProxied } from './door.ts';
import type { Slot } from './slots.ts';

/** Milliseconds between questions: short against an app's start, long against its load. */
const PAUSE = 15;

/** Milliseconds between looks at the containers, so that a crash is told long before a second is over. */
const LOOK = 150;

/** Milliseconds after which a question without an answer is one. */
const PATIENCE = 1000;

/** Seconds that nginx has to pass on what the containers answer well already. */
const PROXY = 5;

/** What ends a wait from outside; throws the reason. */
export type Check = () => void;

function addressOf(container: Inspected): readonly string[] {
  return Object.values(container.NetworkSettings.Networks).flatMap((network) => network?.IPAMConfig?.IPv4Address ?? []);
}

/** What has ended, or was started again since it was first looked at: in a fast loop it is hardly ever seen ended. */
export function findEnded(containers: readonly Inspected[], seen: Map<string, number>): Inspected | undefined {
  return containers.find(({ Id, State, RestartCount }) => {
    const before = seen.get(Id) ?? RestartCount;
    seen.set(Id, before);
    return ['exited', 'dead', 'restarting'].includes(State.Status) || RestartCount > before;
  });
}

/** Rejects with `release-rejected` where a container is not healthy by its own check, or not yet at the last look. */
export async function refuseIll(host: Host, containers: readonly Inspected[], isLast: boolean): Promise<void> {
  const ill = containers.find(
    ({ State }) => State.Health?.Status === 'unhealthy' || (isLast && State.Health?.Status === 'starting'),
  );
  if (ill === undefined) return;
  const output = ill.State.Health?.Log?.at(-1)?.Output.trim() ?? '';
  const why = `The container ${nameOf(ill)} is not healthy by its own health check${output === '' ? '.' : `: ${output}`}`;
  throw await rejected(host, { why, fix: 'Correct `healthcheck.test` of the service, or what it finds.' }, ill);
}

/** Whether a container is healthy by its own check, where it has one. */
export function isHealthy({ State }: Inspected): boolean {
  return State.Health === undefined || State.Health.Status === 'healthy' || State.Health.Status === 'none';
}

/**
 * Waits until every container of a project is healthy and every replica behind the doors answers well. Rejects with
 * `release-rejected` and the cause by name as soon as a container has ended, or when the limit in seconds is over.
 */
export async function gate(
  host: Host,
  project: string,
  doors: readonly Door[],
  limit: number,
  check: Check = () => undefined,
): Promise<void> {
  const deadline = performance.now() + limit * 1000;
  const replicas = doors.flatMap((door) => door.addresses.map((address) => new Replica(door, address)));
  const restarts = new Map<string, number>();
  let containers: readonly Inspected[] = [];
  let looked = Number.NEGATIVE_INFINITY;
  for (;;) {
    check();
    const waiting = replicas.filter((replica) => !replica.isWell);
    for (const replica of waiting) replica.ask();
    const isLast = performance.now() >= deadline;
    if (isLast || waiting.length === 0 || performance.now() - looked >= LOOK) {
      looked = performance.now();
      containers = await inspectAll(host, project);
      const ended = findEnded(containers, restarts);
      if (ended !== undefined) throw await rejected(host, causeOfEnd(ended), ended, doors[0]?.path);
      await refuseIll(host, containers, isLast);
      if (waiting.length === 0 && containers.length > 0 && containers.every(isHealthy)) return;
    }
    const first = waiting[0];
    if (isLast && first !== undefined) throw await refusal(host, first, containers, limit);
    await sleep(PAUSE);
  }
}

/** One address behind a door, asked again and again, one question at a time. */
class Replica {
  readonly door: Door;
  readonly address: string;
  isWell = false;
  #answer: Answer = { failure: 'timeout' };
  #askedAt: number | undefined;

  constructor(door: Door, address: string) {
    this.door = door;
    this.address = address;
  }

  ask(): void {
    if (this.#askedAt !== undefined) return;
    this.#askedAt = performance.now();
    void askReplica(this.address, this.door).then((answer) => {
      this.#answer = answer;
      this.isWell = isWell(answer, this.door);
      this.#askedAt = undefined;
    });
  }

  /** The last answer; a question that has waited for a while says more than the answer before it. */
  get answer(): Answer {
    const isWaiting = this.#askedAt !== undefined && performance.now() - this.#askedAt > PATIENCE;
    return isWaiting ? { failure: 'timeout' } : this.#answer;
  }
}

async function refusal(
  host: Host,
  { door, address, answer }: Replica,
  containers: readonly Inspected[],
  limit: number,
) {
  const blamed = containers.find((container) => addressOf(container).includes(address)) ?? containers[0];
  const { why, fix } = await causeOfAnswer(host, door, answer, blamed);
  return rejected(host, { why: `The new release is not healthy after ${limit} s: ${why}`, fix }, blamed, door.path);
}

/**
 * Waits until nginx passes requests for the doors' domains on to the slot. Where a route's site is not there yet, or
 * nginx does not answer at all, there is nothing to ask: the containers have answered already.
 */
export async function gateThroughProxy(
  host: Host,
  slot: Slot,
  doors: readonly Door[],
  check: Check = () => undefined,
): Promise<void> {
  const sites = await host.list('/etc/nginx/sites-enabled');
  let waiting = doors.filter(({ domain }) => domain !== undefined && sites.includes(`${domain}.conf`));
  const deadline = performance.now() + PROXY * 1000;
  for (;;) {
    check();
    const asked = await Promise.all(waiting.map(async (door) => ({ door, answer: await askThroughProxy(door, slot) })));
    const refused = asked.filter(
      ({ answer }) => 'failure' in answer && /^(?:ECONN|EPROTO|ERR_SSL)/.test(answer.failure),
    );
    for (const { door, answer } of refused) {
      host.warn(
        `nginx does not answer for ${door.domain} (${'failure' in answer ? answer.failure : ''}), so the release was tried without it.`,
      );
    }
    const left = asked.filter((one) => !refused.includes(one) && !isWellProxied(one.answer, one.door));
    waiting = left.map(({ door }) => door);
    const first = left[0];
    if (first === undefined) return;
    if (performance.now() >= deadline) throw await rejected(host, causeOfProxied(first.door, first.answer));
    await sleep(PAUSE);
  }
}
