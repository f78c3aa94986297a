import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import * as z from 'zod';
import { DeployError } from '#core/errors';
import { type Change, defineKind, type Host } from '#resources/resource';
import { textChange } from '#resources/text-diff';
import { inTrialFolder } from '#resources/trial';

const props = z.strictObject({
  /** Keys of daemon.json that are ours; every other key of the file is left as it is. */
  config: z.record(z.string(), z.json()),
});
type Config = z.output<typeof props>['config'];

const PATH = '/etc/docker/daemon.json';
/** What stood under our keys before we came. */
const BEFORE = '/var/lib/slipway/docker-daemon.json';
const PUBLIC = { mode: '0644', owner: 'root', group: 'root' };
const PRIVATE = { mode: '0600', owner: 'root', group: 'root' };

/** What dockerd takes over at a reload (dockerd(8), "Configuration reload behavior"); all else needs a restart. */
const RELOADABLE = new Set([
  'allow-nondistributable-artifacts',
  'authorization-plugins',
  'debug',
  'default-runtime',
  'features',
  'insecure-registries',
  'labels',
  'live-restore',
  'max-concurrent-downloads',
  'max-concurrent-uploads',
  'max-download-attempts',
  'node-generic-resources',
  'registry-mirrors',
  'runtimes',
  'shutdown-timeout',
]);

interface State {
  readonly text: string;
  /** Undefined where the file is no JSON object. */
  readonly config: Config | undefined;
}

function parse(text: string): Config | undefined {
  if (text.trim() === '') return {};
  try {
    const value: unknown = JSON.parse(text);
    const config = typeof value === 'object' && value !== null && !Array.isArray(value);
    return config ? (value as Config) : undefined;
  } catch {
    return undefined;
  }
}

const print = (config: Config): string => `${JSON.stringify(config, null, 2)}\n`;

async function read(host: Host): Promise<State | undefined> {
  const text = await host.readFile(PATH);
  return text === undefined ? undefined : { text, config: parse(text) };
}

async function readBefore(host: Host): Promise<Config> {
  return parse((await host.readFile(BEFORE)) ?? '') ?? {};
}

function diff(state: State | undefined, { config }: { config: Config }): readonly Change[] {
  const there = state?.config ?? {};
  const keys = Object.keys(config).filter((key) => !isDeepStrictEqual(there[key], config[key]));
  if (keys.length === 0 && state !== undefined) return [];
  const restart = keys.filter((key) => !RELOADABLE.has(key));
  const reload = keys.filter((key) => RELOADABLE.has(key));
  const named = [
    ...(restart.length === 0 ? [] : [`${restart.join(', ')} (at a restart)`]),
    ...(reload.length === 0 ? [] : [`${reload.join(', ')} (at a reload)`]),
  ].join('; ');
  const [change] = textChange(state?.text, print({ ...there, ...config }));
  return [{ summary: named, ...(change?.diff === undefined ? {} : { diff: change.diff }) }];
}

async function validate(host: Host, text: string): Promise<void> {
  // Before the engine is installed there is nothing that could validate it.
  if (!(await host.has('dockerd'))) return;
  await inTrialFolder(host, async (folder) => {
    const candidate = `${folder}/daemon.json`;
    await host.must(['tee', candidate], { input: text });
    const output = await host.run(['dockerd', '--validate', '--config-file', candidate]);
    if (output.exitCode === 0) return;
    const said = output.stderr.trim().replaceAll(candidate, PATH);
    throw new DeployError('docker-config-invalid', `dockerd does not accept its configuration: ${said}`, {
      hint: 'What runs was left as it is. Correct the key that is named and run the same command again.',
    });
  });
}

/** Has a running engine take over live-restore at once, so that the restart that may follow leaves containers running. */
async function keepContainersAlive(host: Host): Promise<void> {
  const restores = async () => (await host.docker<{ LiveRestoreEnabled: boolean }>('/info'))?.LiveRestoreEnabled;
  if ((await restores()) !== false) return;
  await host.run(['systemctl', 'reload', 'docker.service']);
  for (let attempt = 0; attempt < 20 && (await restores()) === false; attempt += 1) await sleep(100);
}

/** The configuration file of the Docker daemon, of which only the declared keys are ours. */
export const dockerDaemonKind = defineKind({
  kind: 'docker-daemon',
  summary: 'Keys of daemon.json, checked by dockerd before they are put in place; foreign keys are kept.',
  props,
  id: () => 'daemon.json',
  read,
  diff,
  async apply(host, { config }, state) {
    if (state !== undefined && state.config === undefined) {
      throw new DeployError('docker-config-invalid', `${PATH} is no JSON object, so nothing can be added to it.`, {
        hint: 'Correct or remove the file on the host; Docker itself would not start with it either.',
      });
    }
    const there = state?.config ?? {};
    const text = print({ ...there, ...config });
    await validate(host, text);
    const before = await readBefore(host);
    const unknown = Object.keys(config).filter((key) => !(key in before));
    if (unknown.length > 0) {
      // null says: was not there.
      const added = Object.fromEntries(unknown.map((key) => [key, there[key] ?? null]));
      await host.writeFile(BEFORE, print({ ...before, ...added }), PRIVATE);
    }
    await host.writeFile(PATH, text, PUBLIC);
    if (config['live-restore'] === true) await keepContainersAlive(host);
  },
  footprint: ({ config }) => ({ keys: Object.keys(config) }),
  async remove(host, { keys }) {
    const state = await read(host);
    const before = await readBefore(host);
    if (state?.config !== undefined) {
      const config: Config = { ...state.config };
      for (const key of keys as string[]) {
        const value = before[key] ?? null;
        if (value === null) delete config[key];
        else config[key] = value;
      }
      if (Object.keys(config).length === 0) await host.removeFile(PATH);
      else if (!isDeepStrictEqual(config, state.config)) await host.writeFile(PATH, print(config), PUBLIC);
    }
    await host.removeFile(BEFORE);
  },
  preexisting: 'remove',
});
