import { chmod, chown, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Backups, Berth, Restored, Revived } from '#backup/engine';
import { DeployError } from '#core/errors';
import type { DrillCheck, PostgresSource } from '#protocol/backup';
import type { Host } from '#resources/resource';
import { type Running, serverCommand } from './replay.ts';
import { query, type ServerOf, tryQuery } from './server.ts';

/** Seconds until a server that was stopped in good order takes writes. */
const LIMIT = 600;

/** Milliseconds between looks at a server that is starting. */
const PAUSE = { least: 100, most: 1000 };

/** Folders below which an image keeps the data of each major version (docker-library/postgres, since 18). */
const DEPTH = 3;

// What the copy was told by its own configuration would make it wait for others, or write elsewhere.
const SETTINGS = {
  ...{ listen_addresses: '*', archive_mode: 'off', restart_after_crash: 'off', synchronous_standby_names: '' },
  ...{ primary_conninfo: '', logging_collector: 'off', log_destination: 'stderr', log_min_messages: 'warning' },
  ...{ log_line_prefix: '', lc_messages: 'C' },
};

/** How a server is run that is there to be looked through. */
export function servedAt({ name, options }: Berth): Running {
  const apart = ['--log-driver', 'local', '--cap-drop', 'ALL', '--security-opt', 'no-new-privileges:true'];
  return { name, options: [...options, ...apart], settings: SETTINGS, stays: true };
}

/** The image that the database runs from now, by its id; else the one that is declared. */
export async function imageOf(host: Host, { container, image }: PostgresSource): Promise<string> {
  const running = await host.docker<{ Image: string }>(`/containers/${container}/json`);
  return running?.Image ?? image;
}

/** The data directory itself in restored data. */
async function clusterIn(folder: string, depth = DEPTH): Promise<string | undefined> {
  const entries = await readdir(folder, { withFileTypes: true });
  if (entries.some(({ name }) => name === 'PG_VERSION')) return folder;
  if (depth === 0) return undefined;
  for (const entry of entries.filter((one) => one.isDirectory())) {
    const found = await clusterIn(join(folder, entry.name), depth - 1);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** Starts a container on restored data; whoever owns the data runs it. */
async function start({ host }: Backups, source: PostgresSource, { data }: Restored, berth: Berth) {
  const cluster = await clusterIn(data);
  if (cluster === undefined) {
    throw new DeployError('copy-broken', `There is no cluster in what was restored of ${source.name}.`, {
      hint: 'Take a new copy at once with `deploy backup now <environment>`.',
    });
  }
  const { uid, gid } = await stat(join(cluster, 'PG_VERSION'));
  await chown(cluster, uid, gid);
  await chmod(cluster, 0o700);
  const image = await imageOf(host, source);
  const found = await host.docker<{ Config: { Env?: readonly string[] } }>(`/images/${image}/json`);
  const variable = found?.Config.Env?.find((one) => one.startsWith('PGDATA=')) ?? 'PGDATA=/var/lib/postgresql/data';
  const place = variable.slice('PGDATA='.length);
  const mounts = [{ from: cluster, to: place }];
  await host.must(serverCommand({ image }, `${uid}:${gid}`, place, mounts, servedAt(berth)), { timeout: 900 });
}

/** What a server that has ended said last. */
async function lastWords(host: Host, container: string): Promise<string> {
  const { stdout, stderr } = await host.run(['docker', 'logs', container]);
  const lines = `${stdout}${stderr}`.trim().split('\n');
  const told = lines.filter(
    (line) => /^(?:FATAL|PANIC|ERROR|HINT|DETAIL)/.test(line) && !line.includes('the database system is starting up'),
  );
  return (told.length === 0 ? lines : told).slice(-6).join('\n');
}

/** Waits until a server takes writes: that it takes connections may mean that it is still replaying. */
export async function untilPromoted(host: Host, server: ServerOf): Promise<void> {
  const deadline = performance.now() + LIMIT * 1000;
  for (let pause = PAUSE.least; ; pause = Math.min(pause * 1.3, PAUSE.most)) {
    const { exitCode, stdout } = await tryQuery(host, server, 'SELECT pg_is_in_recovery();');
    if (exitCode === 0 && stdout.startsWith('f')) return;
    const guest = await host.docker<{ State: { Status: string } }>(`/containers/${server.container}/json`);
    const isRunning = guest?.State.Status === 'running';
    if (!isRunning || performance.now() > deadline) {
      const why = isRunning ? `does not take writes after ${LIMIT} s` : 'gave up';
      const words = await lastWords(host, server.container);
      throw new DeployError('copy-broken', `PostgreSQL ${why} on the restored copy:\n${words}`, {
        hint: 'Take a new copy at once with `deploy backup now <environment>`.',
      });
    }
    await sleep(pause);
  }
}

/** Starts PostgreSQL on restored data, with no network, and waits until it takes writes. */
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
    if (restored.isServed !== true) await start(backups, source, restored, berth);
    await untilPromoted(host, server);
    const duration = (performance.now() - began) / 1000;
    const [[version = '', timeline = ''] = []] = await query(
      host,
      server,
      `SELECT current_setting('server_version'), (SELECT timeline_id FROM pg_control_checkpoint());`,
    );
    const found = `PostgreSQL ${version} takes writes, on timeline ${timeline}`;
    const check: DrillCheck = { name: 'promoted', result: 'passed', found, duration };
    return { container: name, checks: [check], [Symbol.asyncDispose]: leave };
  } catch (error) {
    await leave();
    throw error;
  }
}
