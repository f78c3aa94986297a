import { join } from 'node:path';
import type { Backups } from '#backup/engine';
import { needRoom } from '#backup/room';
import { openScratch, type Scratch } from '#backup/scratch';
import { takeSnapshot } from '#backup/snapshots';
import type { Store } from '#backup/store/store';
import { DeployError } from '#core/errors';
import type { PostgresSource } from '#protocol/backup';
import type { Host } from '#resources/resource';
import { endLeftovers } from './counts.ts';
import type { RunningImage } from './image.ts';
import type { BaseNote } from './notes.ts';
import { query, type ServerOf } from './server.ts';

/** What the server knows our copies by. */
const APPLICATION = 'slipway-base';

/** What a copy of the files says when the server has thrown away log that it wanted to put in. */
const RECYCLED = /could not find any WAL file|could not find WAL file|WAL segment .* has already been removed/i;

const START = /write-ahead log start point: ([0-9A-F]+\/[0-9A-F]+) on timeline (\d+)/;
const STOP = /write-ahead log end point: ([0-9A-F]+\/[0-9A-F]+)/;

/** A copy of a cluster's files in one repository. */
export type Copied = Pick<BaseNote, 'start' | 'stop' | 'timeline' | 'archives' | 'withLog' | 'bytes' | 'at'> & {
  readonly manifest?: string;
  readonly snapshot: string;
  readonly added: number;
};

/** What a copy is told apart by. */
export interface Taking {
  readonly id: string;
  readonly tags: readonly string[];
}

/** What pg_basebackup said about the log: where it begins to be needed, and where it ceases. */
export function positionsIn(said: string): Pick<Copied, 'start' | 'stop' | 'timeline'> {
  const [, start, timeline] = START.exec(said) ?? [];
  const [, stop] = STOP.exec(said) ?? [];
  if (start !== undefined && stop !== undefined) return { start, stop, timeline: Number(timeline) };
  throw new DeployError('backup-failed', 'pg_basebackup did not say from where to where it needs the log.', {
    hint: 'Report it with the version of PostgreSQL: this is a defect.',
  });
}

/** Everything pg_basebackup is told, but for where it writes to. */
export function copyOptions(user: string, id: string, log: 'fetch' | 'none'): readonly string[] {
  return [
    ...[`--username=${user}`, '--no-password', '--format=tar', `--wal-method=${log}`, '--checkpoint=fast'],
    ...['--manifest-checksums=SHA256', `--label=slipway-${id}`, '--verbose'],
  ];
}

/** What a program of PostgreSQL's speaks in the words that `positionsIn` reads by, and is known to the server by. */
export function inOurWords(application: string): readonly string[] {
  return ['LC_ALL=C', `PGAPPNAME=${application}`];
}

/** The tablespaces that lie outside of the data directory. */
export async function tablespacesOf(
  host: Host,
  server: ServerOf,
): Promise<readonly { readonly oid: string; readonly location: string }[]> {
  const rows = await query(
    host,
    server,
    "SELECT oid, pg_tablespace_location(oid) FROM pg_tablespace WHERE pg_tablespace_location(oid) LIKE '/%' ORDER BY oid;",
  );
  return rows.map(([oid = '', location = '']) => ({ oid, location }));
}

/** The moment by the server's own clock, not before it. */
export async function serverNow(host: Host, server: ServerOf): Promise<string> {
  const [row] = await query(host, server, 'SELECT extract(epoch FROM clock_timestamp());');
  return new Date(Math.ceil(Number(row?.[0]) * 1000)).toISOString();
}

/** Runs pg_basebackup beside the server, in a container of its own that writes into a scratch's folder. */
function beside(
  source: PostgresSource,
  image: RunningImage,
  scratch: Scratch,
  port: string,
  entrypoint: string,
  args: readonly string[],
): readonly string[] {
  return [
    ...['docker', 'run', '--rm', '--user', '0:0', ...scratch.labels, '--network', `container:${source.container}`],
    ...['--volume', `${scratch.folder}:/copy`, ...inOurWords(APPLICATION).flatMap((variable) => ['--env', variable])],
    ...['--env', 'PGHOST=127.0.0.1', '--env', `PGPORT=${port}`, '--entrypoint', entrypoint, image.id, ...args],
  ];
}

// Docker copies what a container prints byte by byte through two of its own programs, which costs a fifth of what all of
// the copy costs; what goes through a named pipe, the kernel moves.
const INTO_PIPE = 'exec pg_basebackup "$@" > /copy/pipe';

// The pipe is opened once more at the end, or a container that never came to open it would have its reader wait for ever.
const FROM_PIPE = 'pipe=$1; shift; { "$@" > /dev/null; ended=$?; : <> "$pipe"; exit $ended; } & cat "$pipe" && wait $!';

/** Straight from the server into the repository: nothing lies on disk in between. */
async function stream(
  { host, settings }: Backups,
  source: PostgresSource,
  store: Store,
  { id, tags }: Taking,
  log: 'fetch' | 'none',
  image: RunningImage,
): Promise<Copied> {
  const file = `${source.name}.tar`;
  const [row] = await query(host, source, "SELECT current_setting('port');");
  await using scratch = await openScratch(host, settings.app);
  const pipe = join(scratch.folder, 'pipe');
  await host.must(['mkfifo', '--mode=0600', pipe]);
  const args = ['-c', INTO_PIPE, 'pg_basebackup', ...copyOptions(source.user, id, log), '--pgdata=-'];
  const command = beside(source, image, scratch, row?.[0] ?? '', 'sh', args);
  const { snapshot, bytes, added, said } = await takeSnapshot(store, 'The copy', tags, [
    ...['--stdin-filename', file, '--stdin-from-command', '--', 'sh', '-c', FROM_PIPE, 'sh', pipe, ...command],
  ]);
  const at = await serverNow(host, source);
  return {
    ...positionsIn(said),
    ...{ at, snapshot, bytes, added, archives: [{ path: `/${file}` }], withLog: log === 'fetch' },
  };
}

/** By way of a folder, where there is more than one archive: each tablespace is one of its own. */
async function stage(
  { host, settings }: Backups,
  source: PostgresSource,
  store: Store,
  { id, tags }: Taking,
  log: 'fetch' | 'none',
  image: RunningImage,
  tablespaces: readonly { readonly oid: string; readonly location: string }[],
): Promise<Copied> {
  const [row] = await query(
    host,
    source,
    "SELECT sum(pg_tablespace_size(oid)), current_setting('port') FROM pg_tablespace;",
  );
  await using scratch = await openScratch(host, settings.app);
  await needRoom(scratch.folder, 'copy', 'The copy of a cluster with tablespaces', Number(row?.[0]));
  const args = [...copyOptions(source.user, id, log), '--pgdata=/copy/base'];
  const command = beside(source, image, scratch, row?.[1] ?? '', 'pg_basebackup', args);
  const output = await host.must(command, { timeout: 6 * 3600 });
  const at = await serverNow(host, source);
  const files = ['base.tar', ...tablespaces.map(({ oid }) => `${oid}.tar`), 'backup_manifest'];
  const { snapshot, bytes, added } = await takeSnapshot(store, 'The copy', tags, files, `${scratch.folder}/base`);
  return {
    ...positionsIn(output.stderr),
    ...{ at, snapshot, bytes, added, withLog: log === 'fetch', manifest: '/backup_manifest' },
    archives: [
      { path: '/base.tar' },
      ...tablespaces.map(({ oid, location }) => ({ path: `/${oid}.tar`, oid, location })),
    ],
  };
}

/** Copies a cluster's files into one repository, with the log that makes them consistent where it still is there. */
export async function copyFiles(
  backups: Backups,
  source: PostgresSource,
  store: Store,
  taking: Taking,
  image: RunningImage,
): Promise<Copied> {
  const { host } = backups;
  await endLeftovers(host, source, APPLICATION);
  const tablespaces = await tablespacesOf(host, source);
  const copy = (log: 'fetch' | 'none') =>
    tablespaces.length === 0
      ? stream(backups, source, store, taking, log, image)
      : stage(backups, source, store, taking, log, image, tablespaces);
  try {
    return await copy('fetch');
  } catch (error) {
    if (!(error instanceof Error) || !RECYCLED.test(error.message)) throw error;
    host.say('the server has thrown away log meanwhile: copying once more, without it; the archive has it');
    return await copy('none');
  }
}
