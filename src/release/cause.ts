import { DeployError } from '#core/errors';
import { formatBytes } from '#core/units';
import type { Host } from '#resources/resource';
import { type Inspected, lastWords, nameOf } from './containers.ts';
import { type Answer, type Door, proxiedPath } from './door.ts';
import { type Endpoint, listenersOf } from './sockets.ts';

/** Why a new release does not serve, and what a person does about it. */
export interface Cause {
  readonly why: string;
  readonly fix: string;
}

/** A rejected release by its cause, with the last words of the container to blame. */
export async function rejected(
  host: Host,
  { why, fix }: Cause,
  container?: Inspected,
  path?: string,
): Promise<DeployError> {
  const words = container === undefined ? '' : await lastWords(host, nameOf(container), path);
  const said = container === undefined || words === '' ? '' : `\nLast words of ${nameOf(container)}:\n${words}`;
  const kept =
    container === undefined
      ? ''
      : ` The container is kept: \`docker logs ${nameOf(container)}\` on the host shows more.`;
  return new DeployError('release-rejected', `${why}${said}`, { hint: `Traffic was not touched. ${fix}${kept}` });
}

/** The exit code of what SIGKILL ended, be it the kernel short of memory or somebody else. */
const KILLED = 137;

/** Why a container ended. */
export function causeOfEnd(container: Inspected): Cause {
  const { State, HostConfig, RestartCount } = container;
  const name = nameOf(container);
  if (State.OOMKilled || State.ExitCode === KILLED) {
    const limit = HostConfig.Memory > 0 ? `its limit of ${formatBytes(HostConfig.Memory)}` : 'the memory of the host';
    const how = State.OOMKilled
      ? `ran out of memory: it reached ${limit}`
      : `was killed (exit 137), most likely out of memory: ${limit}`;
    return {
      why: `The container ${name} ${how}.`,
      fix: 'Raise `deploy.resources.limits.memory` of the service or take a larger host, or make the app need less.',
    };
  }
  const how = State.Status === 'running' ? `and was started again ${RestartCount} times` : `(exit ${State.ExitCode})`;
  return {
    why: `The container ${name} crashed right after its start ${how}.`,
    fix: 'Mend what its last words say and release again.',
  };
}

/** Why a container was never started, by what the engine says. */
export function causeOfNoStart(name: string, said: string): Cause {
  const missing = /exec: "([^"]+)"[^\n]*(?:not found|no such file)/i.exec(said)?.[1];
  if (missing !== undefined) {
    return {
      why: `The container ${name} never started: there is no program ${missing} in its image.`,
      fix: 'Correct `command` or `entrypoint` of the service, or the CMD of the image.',
    };
  }
  if (/permission denied/i.test(said)) {
    return {
      why: `The container ${name} never started: its program may not be executed.`,
      fix: 'Make the program of the image executable (`chmod +x`), or correct `user` of the service.',
    };
  }
  if (/exec format error/i.test(said)) {
    return {
      why: `The container ${name} never started: its program is for another processor, or a script without \`#!\`.`,
      fix: "Build the image for the host's processor.",
    };
  }
  return {
    why: `The container ${name} never started: ${said.trim()}`,
    fix: 'Mend what the engine names and release again.',
  };
}

function listOf(ports: readonly number[]): string {
  const unique = [...new Set(ports)].sort((a, b) => a - b);
  return unique.length === 1 ? `port ${unique[0]}` : `ports ${unique.join(', ')}`;
}

const isLocal = ({ address }: Endpoint): boolean => address.startsWith('127.') || address === '::1';

/** Why a port refuses, by what the container's programs do listen on. */
export function causeOfRefusal(where: string, { service, port }: Door, found: readonly Endpoint[]): Cause {
  const here = found.filter((endpoint) => endpoint.port === port);
  if (here.length > 0 && here.every(isLocal)) {
    return {
      why: `${where} refuses connections: the app listens on ${here[0]?.address}:${port} only, which nobody outside the container reaches.`,
      fix: `Make the app listen on 0.0.0.0 (often a setting HOST or an argument --host).`,
    };
  }
  if (here.length > 0) {
    return {
      why: `${where} refused connections until a moment ago: the app has only just begun to listen.`,
      fix: 'Raise `release.healthTimeout`, or make the app start quicker.',
    };
  }
  if (found.length > 0) {
    const there = found.filter((endpoint) => !isLocal(endpoint));
    const others = there.length > 0 ? there : found;
    const first = others[0]?.port;
    return {
      why: `${where} refuses connections: wrong port, the app listens on ${listOf(others.map((endpoint) => endpoint.port))}.`,
      fix: `Route to \`${service}:${first}\`, or make the app listen on ${port} (often a setting PORT).`,
    };
  }
  return {
    why: `${where} refuses connections: nothing listens in the container.`,
    fix: 'The app did not come as far as listening; its last words may say why. Raise `release.healthTimeout` where it merely needs longer.',
  };
}

function causeOfRedirect(where: string, door: Door, status: number, location: string): Cause {
  const { domain, path = '/' } = door;
  let target: URL | undefined;
  try {
    target = new URL(location, `https://${domain ?? 'localhost'}${path}`);
  } catch {
    target = undefined;
  }
  if (target !== undefined && target.hostname === domain && target.protocol === 'https:' && target.pathname === path) {
    return {
      why: `${where} answers ${status}, a redirect to ${location}, which is where it was asked: an endless redirect from http to https.`,
      fix: 'nginx has done that redirect already: let the app believe `X-Forwarded-Proto` (trust proxy, forceSSL off).',
    };
  }
  return {
    why: `${where} answers ${status}, a redirect to ${location}.`,
    fix: `Name a path that answers 2xx itself in \`healthcheck.path\` of ${door.service}.`,
  };
}

function causeOfStatus(where: string, door: Door, answer: Extract<Answer, { status: number }>): Cause {
  const { status, location } = answer;
  if (location !== undefined && status >= 300 && status < 400) return causeOfRedirect(where, door, status, location);
  const said = answer.said.trim().split('\n', 1)[0] ?? '';
  const text = said === '' || said.startsWith('<') ? '' : `: ${said}`;
  const why = `${where} answers ${status}${text}`;
  if (status === 401 || status === 403) {
    return { why, fix: `Let \`healthcheck.path\` of ${door.service} be asked without a login.` };
  }
  if (status >= 400 && status < 500) {
    return {
      why,
      fix: `Check \`healthcheck.path\` of ${door.service}: the app does not know ${door.path ?? '/'} this way.`,
    };
  }
  return { why, fix: 'The app fails by itself: mend what its answer or its last words say, and release again.' };
}

/** Why a replica does not let requests come, by its last answer. */
export async function causeOfAnswer(
  host: Host,
  door: Door,
  answer: Answer,
  container: Inspected | undefined,
): Promise<Cause> {
  const where = `${door.service} at port ${door.port}, ${door.path ?? '/'}`;
  if (!('failure' in answer)) return causeOfStatus(where, door, answer);
  if (answer.failure === 'ECONNREFUSED') {
    return causeOfRefusal(where, door, container === undefined ? [] : await listenersOf(host, container.State.Pid));
  }
  if (answer.failure === 'timeout') {
    return {
      why: `${where} accepts connections and gives no answer: timeout.`,
      fix: 'What the health check waits for (a database, another service) may not answer; its last words may say which.',
    };
  }
  if (answer.failure === 'ECONNRESET' || answer.failure.startsWith('HPE_')) {
    return {
      why: `${where} accepts connections and does not speak HTTP (${answer.failure}).`,
      fix: `Route to the port of ${door.service} that speaks plain HTTP; nginx does the https.`,
    };
  }
  return {
    why: `${where} cannot be reached: ${answer.failure}.`,
    fix: 'Look at `docker network inspect` on the host.',
  };
}

/** Why a service that is well by itself is not so behind nginx. */
export function causeOfProxied(door: Door, answer: Answer): Cause {
  const where = `https://${door.domain}${proxiedPath(door)} through nginx`;
  if ('failure' in answer) {
    return {
      why: `${where} does not answer (${answer.failure}), though the container is well.`,
      fix: 'Look at /var/log/nginx/error.log on the host.',
    };
  }
  if (answer.location !== undefined && answer.status >= 300 && answer.status < 400) {
    return causeOfRedirect(where, door, answer.status, answer.location);
  }
  return {
    why: `${where} answers ${answer.status}, though the container is well.`,
    fix: 'Its routes may be older than the release: run `deploy up`; else look at /var/log/nginx/error.log on the host.',
  };
}
