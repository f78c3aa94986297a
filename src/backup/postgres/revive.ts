import { chmod, chown, readdir, readFile, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Backups, Berth, Restored, Revived } from '#backup/engine';
import { DeployError } from '#core/errors';
import type { DrillCheck, PostgresSource } from '#protocol/backup';
import type { Host } from '#resources/resource';
import { formatLsn, type Lsn, parseLsn } from './lsn.ts';
import { query, type ServerOf, tryQuery } from './server.ts';

/** Where a container finds the write-ahead log that lies as `wal` beside restored data: what `restore_command` names. */
export const LOG_MOUNT = '/slipway/wal';

const DATA_MOUNT = '/slipway/data';

/** Seconds for replaying: a week of log of a busy database. */
const LIMIT = 6 * 3600;

/** Milliseconds between looks at a server that is starting. */
const PAUSE = { least: 100, most: 1000 };

// What the copy was told by its own configuration would make it wait for others, write elsewhere, or let people in before
// all is replayed.
const SETTINGS = [
  ...['listen_addresses=*', 'hot_standby=off', 'archive_mode=off', 'restart_after_crash=off'],
  ...['synchronous_standby_names=', 'logging_collector=off', 'log_destination=stderr', 'log_min_messages=warning'],
  ...['log_line_prefix=', 'lc_messages=C', 'log_timezone=UTC', 'unix_socket_directories=/var/run/postgresql'],
];

/** What a server wrote while it replayed, as far as it tells where it stopped. */
export interface Recovery {
  /** How PostgreSQL says where it stopped: `before WAL location (LSN) "0/3000148"`. */
  readonly stopped?: string;
  /** ISO 8601: when the last transaction that was replayed was committed. */
  readonly last?: string;
}

/** What a server's log tells of its recovery. */
export function recoveryOf(log: string): Recovery {
  const stopped = /recovery stopping (.+)/.exec(log)?.[1];
  const at = /last completed transaction was at log time (\S+ [\d:.]+)/.exec(log)?.[1];
  return {
    ...(stopped === undefined ? {} : { stopped }),
    ...(at === undefined ? {} : { last: new Date(`${at.replace(' ', 'T')}Z`).toISOString() }),
  };
}

/** Where the newest history of a timeline says that it was left for the next. */
export function switchOf(history: string): Lsn | undefined {
  const last = history.trim().split('\n').at(-1)?.split('\t')[1];
  return last === undefined ? undefined : parseLsn(last);
}

/** The image that the database runs from now, by its id; else the one that is declared. */
export async function imageOf(host: Host, { container, image }: PostgresSource): Promise<string> {
  const running = await host.docker<{ Image: string }>(`/containers/${container}/json`);
  return running?.Image ?? image;
}

/** Starts a container on restored data; whoever owns the data runs it. */
async function start(backups: Backups, source: PostgresSource, { data }: Restored, { name, options }: Berth) {
  const { uid, gid } = await stat(join(data, 'PG_VERSION'));
  await chown(data, uid, gid);
  await chmod(data, 0o700);
  const log = join(dirname(data), 'wal');
  const hasLog = await stat(log).then(
    () => true,
    () => false,
  );
  await backups.host.must(
    [
      ...['docker', 'run', '--detach', '--name', name, '--network', 'none', '--user', `${uid}:${gid}`, ...options],
      ...['--shm-size', '256m', '--log-driver', 'local', '--cap-drop', 'ALL'],
      ...['--security-opt', 'no-new-privileges:true', '--env', `PGDATA=${DATA_MOUNT}`],
      ...['--volume', `${data}:${DATA_MOUNT}`, ...(hasLog ? ['--volume', `${log}:${LOG_MOUNT}:ro`] : [])],
      ...['--entrypoint', 'postgres', await imageOf(backups.host, source), '-D', DATA_MOUNT],
      ...SETTINGS.flatMap((setting) => ['-c', setting]),
    ],
    { timeout: 900 },
  );
}

async function logOf(host: Host, container: string): Promise<string> {
  const { stdout, stderr } = await host.run(['docker', 'logs', container]);
  return `${stdout}${stderr}`;
}

/** What a server that has ended said last, without what it says at every start. */
function lastWords(log: string): string {
  const lines = log.split('\n').filter((line) => /^(?:FATAL|PANIC|ERROR|HINT|DETAIL|WARNING)/.test(line));
  const told = lines.filter((line) => !line.includes('the database system is starting up'));
  return (told.length === 0 ? log.trim().split('\n') : told).slice(-6).join('\n');
}

async function untilPromoted(host: Host, server: ServerOf): Promise<void> {
  const deadline = performance.now() + LIMIT * 1000;
  for (let pause = PAUSE.least; ; pause = Math.min(pause * 1.3, PAUSE.most)) {
    const { exitCode, stdout } = await tryQuery(host, server, 'SELECT pg_is_in_recovery();');
    if (exitCode === 0 && stdout.startsWith('f')) return;
    const state = await host.docker<{ State: { Status: string } }>(`/containers/${server.container}/json`);
    const why =
      state?.State.Status !== 'running'
        ? 'PostgreSQL gave up on the restored copy'
        : performance.now() > deadline
          ? `PostgreSQL was not done with the log after ${LIMIT} s`
          : undefined;
    if (why !== undefined) {
      throw new DeployError('copy-broken', `${why}:\n${lastWords(await logOf(host, server.container))}`, {
        hint: 'Take a new copy at once with `deploy backup now <environment>`.',
      });
    }
    await sleep(pause);
  }
}

async function newestHistory(data: string): Promise<string | undefined> {
  const files = (await readdir(join(data, 'pg_wal'))).filter((name) => name.endsWith('.history')).sort();
  const newest = files.at(-1);
  return newest === undefined ? undefined : readFile(join(data, 'pg_wal', newest), 'utf8');
}

/** Whether the replay came as far as it was told to. */
async function reached(host: Host, server: ServerOf, data: string): Promise<DrillCheck> {
  const names = ['recovery_target_lsn', 'recovery_target_time', 'recovery_target_name', 'recovery_target_xid'];
  const settings = names.map((name) => `coalesce(current_setting('${name}', true), '')`).join(', ');
  const [row = []] = await query(host, server, `SELECT ${settings};`);
  const [lsn = ''] = row;
  const target = row.find((value) => value !== '');
  const { stopped, last } = recoveryOf(await logOf(host, server.container));
  const history = await newestHistory(data);
  const at = history === undefined ? undefined : switchOf(history);
  const isFar = at !== undefined && (lsn === '' || at >= parseLsn(lsn));
  const where = at === undefined ? 'nowhere' : formatLsn(at);
  return {
    name: 'target reached',
    result: stopped !== undefined && isFar ? 'passed' : 'failed',
    found: `was to stop at ${target ?? 'no target'}, stopped ${stopped ?? 'without saying so'}, at ${where}${last === undefined ? '' : `; the last transaction is of ${last}`}`,
    duration: 0,
  };
}

/** Starts PostgreSQL on restored data, with no network, and waits until all log is replayed and it takes writes. */
export async function revive(
  backups: Backups,
  source: PostgresSource,
  restored: Restored,
  berth: Berth,
): Promise<Revived> {
  const { host } = backups;
  const { name } = berth;
  const server = { ...source, container: name };
  const began = performance.now();
  const leave = async () => {
    await host.run(['docker', 'rm', '--force', '--volumes', name], { timeout: 120 });
  };
  try {
    await start(backups, source, restored, berth);
    await untilPromoted(host, server);
    const duration = (performance.now() - began) / 1000;
    const [[version = '', timeline = ''] = []] = await query(
      host,
      server,
      `SELECT current_setting('server_version'), (SELECT timeline_id FROM pg_control_checkpoint());`,
    );
    const found = `PostgreSQL ${version} takes writes on timeline ${timeline}`;
    const checks: readonly DrillCheck[] = [
      { name: 'promoted', result: 'passed', found, duration },
      // What was replayed while it was restored stopped then, and was looked at then.
      ...(recoveryOf(await logOf(host, name)).stopped === undefined &&
      restored.checks.some((one) => one.name === 'recovery')
        ? []
        : [await reached(host, server, restored.data)]),
    ];
    return { container: name, checks, [Symbol.asyncDispose]: leave };
  } catch (error) {
    await leave();
    throw error;
  }
}
