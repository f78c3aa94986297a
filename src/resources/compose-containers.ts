import { setTimeout as sleep } from 'node:timers/promises';
import { DeployError } from '#core/errors';
import type { Host } from '#resources/resource';

export interface Container {
  readonly id: string;
  readonly name: string;
  readonly service: string;
  /** Compose's digest of the service's configuration. */
  readonly hash: string;
  readonly state: string;
  readonly unhealthy: boolean;
}

interface Listed {
  readonly Id: string;
  readonly Names: readonly string[];
  readonly Labels: Readonly<Record<string, string>>;
  readonly State: string;
  readonly Status: string;
}

/** All containers of one Compose project, one-off ones aside; none where no engine answers. */
export async function projectContainers(host: Host, project: string): Promise<readonly Container[]> {
  const all = await host.once('docker containers', async () => {
    const filters = encodeURIComponent(JSON.stringify({ label: ['com.docker.compose.project'] }));
    return (await host.docker<Listed[]>(`/containers/json?all=1&filters=${filters}`)) ?? [];
  });
  return all
    .filter(
      ({ Labels }) =>
        Labels['com.docker.compose.project'] === project && Labels['com.docker.compose.oneoff'] !== 'True',
    )
    .map(({ Id, Names, Labels, State, Status }) => ({
      id: Id,
      name: (Names[0] ?? Id.slice(0, 12)).replace(/^\//, ''),
      service: Labels['com.docker.compose.service'] ?? '',
      hash: Labels['com.docker.compose.config-hash'] ?? '',
      state: State,
      unhealthy: Status.includes('(unhealthy)'),
    }));
}

/** As they are now: the shared answer of a reading pass is of no use in the middle of an apply. */
export function freshContainers(host: Host, project: string): Promise<readonly Container[]> {
  return projectContainers({ ...host, once: (_, ask) => ask() }, project);
}

/** The last lines a container wrote, for an error message. */
async function lastWords({ id }: Container, host: Host): Promise<string> {
  const said = await host.docker<string>(`/containers/${id}/logs?stdout=1&stderr=1&tail=15`).catch(() => undefined);
  return typeof said === 'string' && said.trim() !== '' ? said.trimEnd() : '(it wrote nothing)';
}

interface Inspected {
  readonly RestartCount: number;
  readonly State: {
    readonly Status: string;
    readonly ExitCode: number;
    readonly OOMKilled: boolean;
    readonly Error: string;
    /** ISO 8601. */
    readonly StartedAt: string;
    readonly Health?: { readonly Status: string; readonly Log?: readonly { readonly Output: string }[] };
  };
}

/** What is wrong with a container in one clause; undefined where nothing is. */
export function complaint({ State, RestartCount }: Inspected): string | undefined {
  if (State.OOMKilled) return 'ran out of memory';
  if (State.Error !== '') return `could not start: ${State.Error}`;
  if (State.Status === 'restarting') return `ends again and again (exit ${State.ExitCode})`;
  if (State.Status === 'exited' && State.ExitCode !== 0) return `ended (exit ${State.ExitCode})`;
  const health = State.Health;
  if (health === undefined) return RestartCount > 0 && !isSteady(State.StartedAt) ? 'ends again and again' : undefined;
  if (health.Status === 'healthy' || health.Status === 'none') return undefined;
  const check = health.Log?.at(-1)?.Output.trim();
  return `is not healthy${check === undefined || check === '' ? '' : ` (its check says: ${check.slice(0, 300)})`}`;
}

/** Seconds a container without a health check has to run before it is believed. */
const STEADY = 3;

const isSteady = (startedAt: string): boolean => Date.now() - Date.parse(startedAt) >= STEADY * 1000;

/** The first container with which something is wrong, as an error with its last lines. */
export async function findFailed(host: Host, project: string): Promise<DeployError | undefined> {
  for (const container of await freshContainers(host, project)) {
    const inspected = await host.docker<Inspected>(`/containers/${container.id}/json`);
    const wrong = inspected === undefined ? undefined : complaint(inspected);
    if (wrong === undefined) continue;
    const words = await lastWords(container, host);
    return new DeployError('container-failed', `Container ${container.name} ${wrong}. Its last lines:\n${words}`, {
      hint: `\`docker logs ${container.name}\` on the host shows all of them; mend the cause and run the same command again.`,
    });
  }
  return undefined;
}

/**
 * Compose 2.26 reports success for a container that ends and is started again without end, and for one that is not
 * yet healthy when its time is up: so what it says is checked.
 */
export async function believe(host: Host, project: string): Promise<void> {
  const failed = await findFailed(host, project);
  if (failed !== undefined) throw failed;
  for (const { id } of await freshContainers(host, project)) {
    const { State } = (await host.docker<Inspected>(`/containers/${id}/json`)) ?? {};
    if (State === undefined || State.Health !== undefined || State.Status !== 'running') continue;
    while (!isSteady(State.StartedAt)) {
      await sleep(500);
      const ended = await findFailed(host, project);
      if (ended !== undefined) throw ended;
    }
  }
}
