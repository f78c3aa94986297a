import { createHash } from 'node:crypto';
import { join } from 'node:path';
import * as z from 'zod';
import { asDeployError, DeployError } from '#core/errors';
import { believe, type Container, findFailed, freshContainers, projectContainers } from '#resources/compose-containers';
import { explainCompose } from '#resources/compose-failure';
import { readTextFile, type TextFile, textFileChanges } from '#resources/file';
import { type Change, type ComposeProject, defineKind, type Host } from '#resources/resource';

const props = z.strictObject({
  /** As Compose wants it: lower case letters, digits, `-` and `_`. */
  name: z.string().regex(/^[a-z0-9][a-z0-9_-]*$/),
  /** Holds compose.yaml and .env; belongs to the project alone. */
  directory: z.string().startsWith('/'),
  /** The text of compose.yaml. No secrets: they go into `env`. */
  compose: z.string(),
  /** The text of .env, 0600 and never shown; `env_file: .env` and `${NAME}` read it. */
  env: z.string().optional(),
  /** Seconds all containers have to become healthy. */
  wait: z.number().int().positive().default(120),
});
type Props = z.output<typeof props>;

interface State {
  readonly compose: TextFile | undefined;
  readonly env: TextFile | undefined;
  /** What the last successful start left running; undefined where none was recorded. */
  readonly started: Started | undefined;
  readonly containers: readonly Container[];
}

interface Started {
  /** Of compose.yaml and .env together. */
  readonly digest: string;
  /** `service state hash`, one for each container, sorted. */
  readonly containers: readonly string[];
}

const COMPOSE = { mode: '0644', owner: 'root', group: 'root' };
const SECRET = { mode: '0600', owner: 'root', group: 'root' };

const files = (directory: string) => ({
  compose: join(directory, 'compose.yaml'),
  env: join(directory, '.env'),
  started: join(directory, '.slipway-started.json'),
});

function digestOf({ compose, env }: Pick<Props, 'compose' | 'env'>): string {
  return createHash('sha256')
    .update(JSON.stringify([compose, env ?? null]))
    .digest('hex');
}

const fingerprint = (containers: readonly Container[]): readonly string[] =>
  containers.map(({ service, state, hash }) => `${service} ${state} ${hash}`).sort();

function parseStarted(text: string | undefined): Started | undefined {
  const schema = z.object({ digest: z.string(), containers: z.array(z.string()) });
  try {
    return schema.parse(JSON.parse(text ?? ''));
  } catch {
    return undefined;
  }
}

/** How what runs differs from what the last successful start left: one change for each service, in plain words. */
function drift(started: Started, containers: readonly Container[]): readonly Change[] {
  const wanted = new Map<string, string[]>();
  for (const entry of started.containers) {
    const service = entry.split(' ')[0] ?? '';
    wanted.set(service, [...(wanted.get(service) ?? []), entry]);
  }
  const services = [...new Set([...wanted.keys(), ...containers.map(({ service }) => service)])].sort();
  return services.flatMap((service): readonly Change[] => {
    const there = containers.filter((container) => container.service === service);
    const entries = wanted.get(service);
    if (entries === undefined) return [{ summary: `remove ${service}` }];
    if (there.some(({ unhealthy }) => unhealthy)) return [{ summary: `restart ${service}: unhealthy` }];
    if (fingerprint(there).join('\n') === entries.join('\n')) return [];
    if (there.length === 0) return [{ summary: `start ${service}: its container is gone` }];
    const idle = there.find(({ state, hash }) => !entries.includes(`${service} ${state} ${hash}`));
    return [
      { summary: `start ${service}: ${idle?.state === 'running' ? 'changed by hand' : (idle?.state ?? 'too few')}` },
    ];
  });
}

/** That it is a container's own doing, and not Compose's or the engine's, when a start fails. */
const BY_CONTAINER = /unhealthy|not healthy|exited \(|failed to create task|dependency failed/;

async function explainStart(host: Host, { name }: Props, thrown: DeployError): Promise<DeployError> {
  if (thrown.code !== 'command-failed') return thrown;
  const known = explainCompose(name, thrown);
  if (known !== undefined || !BY_CONTAINER.test(thrown.message)) return known ?? thrown;
  return (await findFailed(host, name)) ?? thrown;
}

/** Lets Compose check a candidate before anything that is live is replaced. */
async function check(host: Host, { name, directory, compose, env }: Props): Promise<void> {
  const at = files(directory);
  // A service that reads .env can only be checked where one is.
  if (env !== undefined && (await host.stat(at.env)) === undefined) await host.writeFile(at.env, env, SECRET);
  await host.must(['mkdir', '-p', directory]);
  const candidate = join(directory, '.env.candidate');
  try {
    if (env !== undefined) await host.writeFile(candidate, env, SECRET);
    const place = ['--project-name', name, '--project-directory', directory, '--file', '-'];
    const withEnv = env === undefined ? [] : ['--env-file', candidate];
    const output = await host.run(['docker', 'compose', ...place, ...withEnv, 'config', '--quiet'], { input: compose });
    if (output.exitCode === 0) return;
    throw new DeployError('compose-invalid', `Compose does not accept ${at.compose}: ${output.stderr.trim()}`, {
      hint: 'What runs was left as it is. Correct the service that is named and run the same command again.',
    });
  } finally {
    if (env !== undefined) await host.removeFile(candidate);
  }
}

/** Does what Compose would not: it refuses a paused container, and leaves an unhealthy one as it is. */
async function wake(host: Host, containers: readonly Container[]): Promise<void> {
  for (const { id, name, state, unhealthy } of containers) {
    if (state === 'paused') await host.docker(`/containers/${id}/unpause`, { method: 'POST' });
    // Whoever was asked for their health while they were paused is about to be found unhealthy.
    if (!unhealthy && state !== 'paused') continue;
    host.say(`restarting ${name}, which is ${unhealthy ? 'unhealthy' : 'paused'}`);
    await host.docker(`/containers/${id}/restart?t=30`, { method: 'POST', timeout: 60 });
  }
}

/**
 * Starts the project. A stopped container remembers its networks by their ids: where one was made anew meanwhile, it
 * can never start again, and makes way for a new one.
 */
async function start(host: Host, project: ComposeProject): Promise<void> {
  try {
    await host.compose(project, 'up');
  } catch (thrown) {
    const stopped = (await freshContainers(host, project.name)).filter(({ state }) => state !== 'running');
    if (stopped.length === 0 || !/network \S+ not found/.test(asDeployError(thrown).message)) throw thrown;
    for (const { id } of stopped) await host.docker(`/containers/${id}?force=1`, { method: 'DELETE' });
    await host.compose(project, 'up');
  }
}

async function apply(host: Host, wanted: Props, state: State | undefined): Promise<void> {
  const { name, directory, compose, env, wait } = wanted;
  const at = files(directory);
  const project = { name, directory, wait };
  await check(host, wanted);
  await host.writeFile(at.compose, compose, COMPOSE);
  if (env !== undefined) await host.writeFile(at.env, env, SECRET);
  else await host.removeFile(at.env);
  try {
    await host.compose(project, 'pull');
    await wake(host, state?.containers ?? []);
    await start(host, project);
    await believe(host, name);
  } catch (thrown) {
    throw await explainStart(host, wanted, asDeployError(thrown));
  }
  const containers = fingerprint(await freshContainers(host, name));
  const started: Started = { digest: digestOf(wanted), containers };
  await host.writeFile(at.started, `${JSON.stringify(started)}\n`, SECRET);
}

/** Networks of a project that an earlier file of it declared: `down` only knows those of the present one. */
async function removeNetworks(host: Host, project: string): Promise<void> {
  const filters = encodeURIComponent(JSON.stringify({ label: [`com.docker.compose.project=${project}`] }));
  const networks = (await host.docker<{ Id: string }[]>(`/networks?filters=${filters}`)) ?? [];
  for (const { Id } of networks) await host.docker(`/networks/${Id}`, { method: 'DELETE' });
}

/** A Compose project whose containers run as its file says. */
export const composeProjectKind = defineKind({
  kind: 'compose-project',
  summary: 'A Compose project whose containers run, and are healthy, as its file says.',
  props,
  id: ({ name }) => name,
  async read(host, { name, directory }): Promise<State | undefined> {
    const at = files(directory);
    const [compose, env, started, containers] = await Promise.all([
      readTextFile(host, at.compose),
      readTextFile(host, at.env),
      host.readFile(at.started),
      projectContainers(host, name),
    ]);
    if (compose === undefined && containers.length === 0) return undefined;
    return { compose, env, started: parseStarted(started), containers };
  },
  diff(state, wanted) {
    const { compose, env } = wanted;
    if (state === undefined) return textFileChanges(undefined, { content: compose, ...COMPOSE });
    const changes = [...textFileChanges(state.compose, { content: compose, ...COMPOSE })];
    if (state.env?.content !== env) changes.push({ summary: env === undefined ? 'remove .env' : '.env' });
    else if (state.env !== undefined && state.env.mode !== SECRET.mode)
      changes.push({ summary: `.env mode ${state.env.mode} -> 0600` });
    if (changes.length > 0) return changes;
    if (state.started?.digest !== digestOf(wanted)) return [{ summary: 'start' }];
    return drift(state.started, state.containers);
  },
  apply,
  footprint: ({ name, directory }) => ({ name, directory }),
  async remove(host, footprint) {
    const { name, directory } = footprint as { name: string; directory: string };
    const at = files(directory);
    const running = await freshContainers(host, name);
    const there = running.length > 0 || (await host.stat(at.compose)) !== undefined;
    if (there && (await host.has('docker')) && (await host.docker('/version')) !== undefined) {
      await host.compose({ name, directory }, 'down');
      await removeNetworks(host, name);
    }
    for (const file of [at.started, at.env, at.compose]) await host.removeFile(file);
    await host.run(['rmdir', '--ignore-fail-on-non-empty', directory]);
  },
});
