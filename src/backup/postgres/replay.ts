import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { DeployError } from '#core/errors';
import { replaceText } from '#release/durable';
import type { Host } from '#resources/resource';
import { formatLsn, type Lsn, parseLsn } from './lsn.ts';
import type { Stop } from './search.ts';

/** An image, and what every container of it is given here. */
export interface Tools {
  readonly image: string;
  readonly labels: readonly string[];
}

/** A folder of the host in a container. */
export interface Mount {
  readonly from: string;
  readonly to: string;
}

const volumes = (mounts: readonly Mount[]): readonly string[] =>
  mounts.flatMap(({ from, to }) => ['--volume', `${from}:${to}`]);

/** The argument vector of one program of an image, with no network, in a container that goes when it ends. */
export function inImage(
  { image, labels }: Tools,
  mounts: readonly Mount[],
  user = '0:0',
): (program: string, args: readonly string[]) => readonly string[] {
  return (program, args) => [
    ...['docker', 'run', '--rm', '--network=none', `--user=${user}`, '--env=TZ=UTC', ...labels],
    ...[...volumes(mounts), `--entrypoint=${program}`, image, ...args],
  ];
}

/** Whose the files of a cluster are, as numbers. */
export async function ownerOf(data: string): Promise<string> {
  const { uid, gid } = await stat(join(data, 'PG_VERSION'));
  return `${uid}:${gid}`;
}

/** What a restored cluster must not do as the one it is a copy of did: follow another, wait for it, be restored again. */
const INHERITED = /^\s*(?:recovery_|restore_command|archive_|primary_|synchronous_standby_names|standby_)/;

/** Takes from a cluster's own settings what ties it to what was around it. */
async function cutTies(data: string): Promise<void> {
  const path = join(data, 'postgresql.auto.conf');
  const text = await readFile(path, 'utf8').catch(() => '');
  const kept = text.split('\n').filter((line) => !INHERITED.test(line));
  if (kept.length !== text.split('\n').length) await writeFile(path, kept.join('\n'));
}

/** How the server is run that replays. */
export interface Running {
  /** The name of its container. */
  readonly name: string;
  /** Arguments of `docker run`. */
  readonly options: readonly string[];
  readonly settings: Readonly<Record<string, string>>;
  /** Whether it serves afterwards what it has replayed; else it is stopped, and gone. */
  readonly stays: boolean;
}

/** How a replay ended. */
export interface Replayed {
  /** Where the record begins before which it stopped, or with which. */
  readonly reached: Lsn;
  /** What the server says of its stop. */
  readonly stopped: string;
}

/** Seconds that a server may take to stop: it writes everything down. */
const STOPPING = 600;
const LOG = '/slipway/log';
const SCRIPTS = '/slipway/scripts';
/** Milliseconds between looks at a server that is replaying. */
const PAUSE = { least: 40, most: 500 };

/** What PostgreSQL's log tells of a recovery. */
export function readStory(log: string): Partial<Replayed> {
  const stopped = /recovery stopping (?:before|after) .*/.exec(log)?.[0];
  const at = /WAL location \(LSN\) "([0-9A-F]+\/[0-9A-F]+)"/.exec(stopped ?? '')?.[1];
  return {
    ...(stopped === undefined ? {} : { stopped }),
    ...(at === undefined ? {} : { reached: parseLsn(at) }),
  };
}

function failed(message: string, words: string): DeployError {
  return new DeployError('copy-broken', `${message}${words === '' ? '' : `:\n${words}`}`, {
    hint: 'Take a new full copy at once with `deploy backup now <environment>`, and try an earlier moment.',
  });
}

/** What matters of a server's log: what it could not go on after, else its end. */
function wordsOf(log: string): string {
  const lines = log.trim().split('\n');
  const fatal = lines.filter((line) => /FATAL|PANIC/.test(line));
  return (fatal.length > 0 ? fatal : lines).slice(-4).join('\n');
}

/** A server that does nothing but replay, whatever the settings of the cluster are. */
export function replayingOnly(name: string, options: readonly string[]): Running {
  return {
    name,
    options,
    stays: false,
    settings: {
      ...{ archive_mode: 'off', synchronous_standby_names: '', primary_conninfo: '', primary_slot_name: '' },
      ...{ listen_addresses: '', ssl: 'off', hba_file: `${SCRIPTS}/pg_hba.conf` },
      ...{ logging_collector: 'off', log_destination: 'stderr', log_min_messages: 'warning', log_timezone: 'UTC' },
      ...{ lc_messages: 'C', timezone: 'UTC', shared_buffers: '128MB', max_wal_size: '2GB', autovacuum: 'off' },
    },
  };
}

/** The arguments of `docker run` that start a server on a cluster, cut off from every network. */
export function serverCommand(
  { image }: Pick<Tools, 'image'>,
  owner: string,
  place: string,
  mounts: readonly Mount[],
  { name, options, settings }: Running,
): readonly string[] {
  return [
    ...['docker', 'run', '--detach', '--name', name, '--network=none', `--user=${owner}`, ...options],
    ...['--stop-signal=SIGINT', '--shm-size=256m', ...volumes(mounts), '--entrypoint=postgres', image, '-D', place],
    ...Object.entries(settings).flatMap(([key, value]) => ['-c', `${key}=${value}`]),
  ];
}

/**
 * Replays log into a cluster up to a stop, and has it promoted, in a container with no network. Nothing of how it was
 * done stays in its settings. Rejects with `copy-broken` unless it has stopped exactly there.
 */
export async function replay(
  host: Host,
  tools: Tools,
  {
    data,
    place,
    log,
    scripts,
  }: { readonly data: string; readonly place: string; readonly log: string; readonly scripts: string },
  { lsn, inclusive }: Stop,
  running: Running,
): Promise<Replayed> {
  const { name, stays } = running;
  const owner = await ownerOf(data);
  await cutTies(data);
  await writeFile(join(data, 'recovery.signal'), '');
  // The folder itself is in no archive.
  await host.must(['chown', owner, data, join(data, 'recovery.signal')]);
  await host.must(['chmod', '0700', data]);
  await replaceText(join(scripts, 'pg_hba.conf'), 'local all all trust\n', 0o644);
  await host.must(['chmod', '0755', scripts]);
  await host.must(['chown', '--recursive', owner, log], { timeout: 600 });
  const settings = {
    // Only what is proven absent may look so; anything else must not pass for the end of the log.
    restore_command: `test -e ${LOG}/%f || exit 1; cp ${LOG}/%f %p || exit 126`,
    recovery_target_lsn: formatLsn(lsn),
    recovery_target_inclusive: String(inclusive),
    recovery_target_timeline: 'current',
    recovery_target_action: 'promote',
    hot_standby: 'off',
    // Tablespaces lie within the data directory, which the server otherwise takes for a mistake.
    allow_in_place_tablespaces: 'on',
    ...running.settings,
  };
  const mounts = [
    { from: data, to: place },
    { from: log, to: LOG },
    { from: scripts, to: SCRIPTS },
  ];
  let isGood = false;
  try {
    await host.must(serverCommand(tools, owner, place, mounts, { ...running, settings }));
    const { stopped, reached } = await untilPromoted(host, name);
    if (!stays) await stop(host, name);
    if (stopped === undefined || reached === undefined) {
      throw failed('The restored server has not said where it stopped', '');
    }
    const isThere = inclusive ? reached === lsn : reached >= lsn;
    if (!isThere) throw failed(`It was to stop at ${formatLsn(lsn)} and did at ${formatLsn(reached)}`, stopped);
    isGood = true;
    return { stopped, reached };
  } finally {
    if (!(isGood && stays)) await host.run(['docker', 'rm', '--force', '--volumes', name]);
  }
}

async function stop(host: Host, name: string): Promise<void> {
  const end = await host.run(['docker', 'stop', `--time=${STOPPING}`, name], { timeout: STOPPING + 30 });
  const { stdout: code } = await host.run(['docker', 'inspect', '--format={{.State.ExitCode}}', name]);
  if (end.exitCode === 0 && code.trim() === '0') return;
  throw failed('The restored server did not stop in good order', code);
}

const logsOf = async (host: Host, name: string): Promise<string> => {
  const { stdout, stderr } = await host.run(['docker', 'logs', name]);
  return `${stdout}${stderr}`;
};

/** Waits until the server has ended its recovery: it takes connections only then, and a copy of it only that way. */
async function untilPromoted(host: Host, name: string): Promise<Partial<Replayed>> {
  const until = Date.now() + 11 * 3600 * 1000;
  for (let pause = PAUSE.least; Date.now() < until; pause = Math.min(pause * 1.3, PAUSE.most)) {
    const guest = await host.docker<{ State: { Running: boolean } }>(`/containers/${name}/json`);
    const log = await logsOf(host, name);
    if (log.includes('database system is ready to accept connections')) return readStory(log);
    if (guest?.State.Running !== true) throw failed('The restored server could not replay the log', wordsOf(log));
    await sleep(pause);
  }
  throw failed('The restored server did not get to the end of the log in time', '');
}
