import { DeployError } from '#core/errors';
import { lastLines, type Output, type RunOptions } from '#core/run';
import type { Host } from '#resources/resource';
import { unanswered, whySilent } from './probe.ts';
import { RESTIC_EXIT } from './refusal.ts';
import type { Place } from './repository.ts';

/** The oldest restic whose exit codes tell what is the matter. */
const OLDEST = [0, 17] as const;

/** What a shell ends with that does not find a program. */
const NOT_FOUND = 127;

/** How long restic waits for another one's lock. */
const PATIENCE = '5m';

/** Seconds for what brings little; whoever moves a database says so. */
const SHORT = 360;

/** Whether what `restic version` prints is a version that can be worked with. */
export function isNewEnough(version: string): boolean {
  const [, major, minor] = /restic (\d+)\.(\d+)/.exec(version) ?? [];
  if (major === undefined || minor === undefined) return false;
  return Number(major) > OLDEST[0] || (Number(major) === OLDEST[0] && Number(minor) >= OLDEST[1]);
}

/** Rejects where the host's restic is too old to be trusted with backups. */
export async function checkRestic(host: Host): Promise<void> {
  const output = await host.once('restic version', () => host.run(['restic', 'version']));
  const { stdout, exitCode } = output;
  if (isNewEnough(stdout)) return;
  if (exitCode !== 0 && exitCode !== NOT_FOUND) {
    const how = exitCode === null ? 'was killed' : `failed (exit ${exitCode})`;
    throw new DeployError('repository-failed', `\`restic version\` ${how}:\n${lastLines(output)}`, {
      hint: 'It is tried again with the next run; where that goes on, see what `restic version` says on the host.',
    });
  }
  const found = stdout.trim().split('\n')[0] ?? '';
  throw new DeployError(
    'repository-failed',
    `${found === '' ? 'There is no restic on this host' : `This host has ${found}`}; backups need ${OLDEST.join('.')} or newer.`,
    {
      hint: 'Move to Debian 13, or put a newer restic into /usr/local/bin; `deploy up <environment>` goes on from there.',
    },
  );
}

/** Where restic keeps what it has read, so that it reads it once. */
const CACHE = '/var/cache/slipway/restic';

/** restic on one repository. */
export interface Restic {
  /** The whole command, for whoever starts it otherwise, with `environment`. */
  argv(args: readonly string[]): readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  /** What it is told of the way there. */
  readonly options: readonly string[];
  /**
   * Runs it, whatever its exit code. What a killed one has left locked is unlocked and tried again; a lock that somebody
   * holds is waited for.
   */
  run(args: readonly string[], options?: RunOptions): Promise<Output>;
}

export interface ResticOptions {
  readonly repository: string;
  readonly place: Place;
  /** A file that holds the password. */
  readonly password: string;
  /** How snapshots name this host. */
  readonly name: string;
  readonly options: readonly string[];
  readonly credentials: Readonly<Record<string, string>>;
  /** PEM text of the authorities of its https. */
  readonly ca: string | undefined;
  /** Where it keeps what it has read of the repository before; a folder of the host's own where left out. */
  readonly cache?: string | undefined;
}

/** restic, told how to reach a repository. Addresses and secrets go by its environment. */
export function resticOn(
  host: Host,
  { repository, place, password, name, options, credentials, ca, cache = CACHE }: ResticOptions,
): Restic {
  const environment = {
    ...credentials,
    RESTIC_REPOSITORY: repository,
    RESTIC_PASSWORD_FILE: password,
    RESTIC_HOST: name,
    RESTIC_CACHE_DIR: cache,
    RESTIC_PROGRESS_FPS: '0.01',
  };
  const general = [
    // What lies on this machine needs no second copy on it.
    ...(place.type === 'local' ? ['--no-cache'] : ['--cleanup-cache', '--stuck-request-timeout', '1m']),
    ...options,
  ];
  const begin = (waiting: readonly string[], args: readonly string[], { env, ...rest }: RunOptions): Promise<Output> =>
    host.run(['restic', ...waiting, ...general, ...args], {
      timeout: SHORT,
      ...rest,
      env: { ...environment, ...env },
    });
  return {
    environment,
    options,
    argv: (args) => ['restic', '--retry-lock', PATIENCE, ...general, ...args],
    async run(args, runOptions = {}) {
      const why = await whySilent(place, ca);
      if (why !== undefined) return unanswered(['restic', ...args], why);
      const first = await begin([], args, runOptions);
      if (first.exitCode !== RESTIC_EXIT.locked) return first;
      // Takes only locks whose process on this host has ended, and very old ones.
      await begin([], ['unlock'], {});
      return begin(['--retry-lock', PATIENCE], args, runOptions);
    },
  };
}
