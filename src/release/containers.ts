import { setTimeout as sleep } from 'node:timers/promises';
import type { Host } from '#resources/resource';

/** A container as the Docker Engine API lists it; only what is asked for here. */
export interface Container {
  readonly Id: string;
  readonly Names: readonly string[];
  readonly State: string;
  readonly Status: string;
  readonly Labels: Readonly<Record<string, string>>;
}

/** Whether and how Docker starts a container again by itself. */
export interface RestartPolicy {
  readonly Name: string;
  readonly MaximumRetryCount: number;
}

/** Never: a crash is an end. */
export const NO_RESTART: RestartPolicy = { Name: 'no', MaximumRetryCount: 0 };

/** A container as the Docker Engine API describes it; only what is asked for here. */
export interface Inspected {
  readonly Id: string;
  readonly Name: string;
  readonly RestartCount: number;
  readonly State: {
    readonly Status: string;
    readonly OOMKilled: boolean;
    readonly ExitCode: number;
    readonly Error: string;
    readonly Pid: number;
    readonly Health?: {
      readonly Status: string;
      readonly Log?: readonly { readonly ExitCode: number; readonly Output: string }[] | null;
    };
  };
  readonly Config: {
    readonly Labels: Readonly<Record<string, string>>;
    readonly StopTimeout?: number | null;
    readonly Cmd?: readonly string[] | null;
    readonly Entrypoint?: readonly string[] | null;
  };
  readonly HostConfig: {
    readonly Memory: number;
    readonly RestartPolicy: RestartPolicy;
  };
  readonly NetworkSettings: {
    readonly Networks: Readonly<Record<string, { readonly IPAMConfig?: { readonly IPv4Address?: string } | null }>>;
  };
}

/** The containers of one Compose project, running or not; empty where no engine answers. */
export async function containersOf(host: Host, project: string): Promise<readonly Container[]> {
  const filters = encodeURIComponent(JSON.stringify({ label: [`com.docker.compose.project=${project}`] }));
  return (await host.docker<Container[]>(`/containers/json?all=true&filters=${filters}`)) ?? [];
}

/** The containers of one Compose project, in every detail. */
export async function inspectAll(host: Host, project: string): Promise<readonly Inspected[]> {
  const ids = (await containersOf(host, project)).map(({ Id }) => Id);
  const found = await Promise.all(ids.map((id) => host.docker<Inspected>(`/containers/${id}/json`)));
  return found.flatMap((container) => container ?? []);
}

/** A container's name as a person knows it. */
export function nameOf(container: Container | Inspected): string {
  const name = 'Name' in container ? container.Name : container.Names[0];
  return (name ?? container.Id.slice(0, 12)).replace(/^\//, '');
}

/** Lines of a container's log that are looked at, and how many of them are shown. */
const LOG = { read: 300, shown: 12 };

/**
 * The last lines a container said, for the explanation of why it is not serving; empty where it said nothing. Lines
 * about the health path are our own questions, and shown only where it said nothing else.
 */
export async function lastWords(host: Host, container: string, healthPath?: string): Promise<string> {
  const path = `/containers/${container}/logs?stdout=true&stderr=true&tail=${LOG.read}`;
  const lines = ((await host.docker<string>(path)) ?? '').toString().trim().split('\n');
  const others = healthPath === undefined ? lines : lines.filter((line) => !line.includes(healthPath));
  return (others.length === 0 ? lines : others).slice(-LOG.shown).join('\n').trim();
}

/** Starts a container that was created; rejects with `docker-failed` and the engine's words where it cannot. */
export async function startContainer(host: Host, id: string): Promise<void> {
  await host.docker(`/containers/${id}/start`, { method: 'POST', timeout: 120 });
}

/** Milliseconds for which Docker may refuse to be told, and between two tries. */
const ENDING = { most: 5000, pause: 200 };

/**
 * Tells Docker whether and how to start a container again; its name will do. Docker refuses that while the container's
 * process is gone and its end not yet noted, and takes it right after: so it is told again.
 */
export async function setRestart(host: Pick<Host, 'docker'>, container: string, policy: RestartPolicy): Promise<void> {
  for (const end = Date.now() + ENDING.most; ; await sleep(ENDING.pause)) {
    try {
      await host.docker(`/containers/${container}/update`, { method: 'POST', body: { RestartPolicy: policy } });
      return;
    } catch (refused) {
      if (Date.now() > end) throw refused;
    }
  }
}

/** Stops a container: SIGTERM, and SIGKILL after as many seconds as were declared for it, else `grace`, `most` at most. */
export async function stopContainer(
  host: Host,
  { Id, Config }: Inspected,
  grace: number,
  most = Number.POSITIVE_INFINITY,
): Promise<void> {
  const seconds = Math.min(Config.StopTimeout ?? grace, most);
  await host.docker(`/containers/${Id}/stop?t=${seconds}`, { method: 'POST', timeout: seconds + 30 });
}

/** Removes a container, whatever it does. */
export async function removeContainer(host: Pick<Host, 'docker'>, id: string): Promise<void> {
  await host.docker(`/containers/${id}?force=true&v=true`, { method: 'DELETE', timeout: 60 });
}

/** Stops a project's containers side by side, each as `stopContainer` does. They stay for a look. */
export async function stopAll(host: Host, project: string, grace: number, most?: number): Promise<void> {
  const containers = await inspectAll(host, project);
  await Promise.all(containers.map((container) => stopContainer(host, container, grace, most)));
}

/** Removes a project's containers, whatever they do. */
export async function removeAll(host: Host, project: string): Promise<void> {
  const containers = await containersOf(host, project);
  await Promise.all(containers.map(({ Id }) => removeContainer(host, Id)));
}
