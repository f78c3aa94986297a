import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Backups, Done } from '#backup/engine';
import { needRoom } from '#backup/room';
import { openScratch, type Scratch } from '#backup/scratch';
import { orDiscard, takeSnapshot } from '#backup/snapshots';
import type { Store } from '#backup/store/store';
import { asDeployError, DeployError } from '#core/errors';
import { pipeline } from '#core/pipeline';
import { lastLines } from '#core/run';
import { stampOf } from '#core/stamp';
import type { PostgresSource } from '#protocol/backup';
import { copyOptions, inOurWords, positionsIn, serverNow, tablespacesOf } from './base.ts';
import { type Base, isComplete, readCatalogue } from './catalogue.ts';
import { deliver, type Made, makeInFirst, putNote, tagsOf } from './deliver.ts';
import { detailsOf, noteOf, type Subject, subjectOf, takeFull } from './full.ts';
import type { BaseNote } from './notes.ts';
import { query } from './server.ts';

/** What the server knows our incremental copies by: another name than a full's, which ends what is left of its own. */
const APPLICATION = 'slipway-incremental';

/** The first version that can say which blocks have changed. */
const SINCE = 17;

/** Seconds for unpacking, combining or looking through a cluster. */
const LIMIT = 4 * 3600;

/** Why nothing relative can be taken, and the whole is taken instead. */
class NeedsFull extends Error {}

/** What pg_basebackup says when the server no longer knows what has changed since. */
const UNKNOWN =
  /WAL summar|summarize_wal|summarization is not progressing|must be (?:taken|based)|timeline .* not found/i;

/** Runs one of PostgreSQL's programs on files of ours, in a container of the database's image without a network. */
async function offline(
  { host }: Backups,
  scratch: Scratch,
  { image }: Subject,
  program: string,
  args: readonly string[],
): Promise<void> {
  const output = await host.run(
    [
      ...['docker', 'run', '--rm', '--user', '0:0', ...scratch.labels, '--network', 'none'],
      ...['--volume', `${scratch.folder}:/copy`, '--env', 'LC_ALL=C', '--entrypoint', program, image.id, ...args],
    ],
    { timeout: LIMIT },
  );
  if (output.exitCode === 0) return;
  throw new DeployError('backup-failed', `${program} refused the incremental copy:\n${lastLines(output)}`, {
    hint: 'It does not count; the full copy and the write-ahead log behind it do. The next full begins anew.',
  });
}

/** Unpacks what a snapshot holds of a data directory. */
async function unpack(store: Store, snapshot: string, path: string, folder: string): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const { argv, environment } = store.direct;
  const { ok, why } = await pipeline([argv(['dump', snapshot, path]), ['tar', '--extract', '--directory', folder]], {
    env: environment,
    timeout: LIMIT,
  });
  if (ok) return;
  throw new DeployError('copy-broken', `${path} of the snapshot ${snapshot} cannot be read:\n${why}`, {
    hint: 'Take a new full copy at once with `deploy backup now <environment>`.',
  });
}

/** The full that the next incremental is relative to: always the last one, so that two copies make a cluster, never more. */
async function lastFull(
  backups: Backups,
  source: PostgresSource,
  store: Store,
  { generation, cluster }: Subject,
): Promise<Base & { readonly snapshot: string }> {
  const { bases } = await readCatalogue(backups, source, store);
  const full = bases.findLast((base) => base.note.kind === 'full' && isComplete(base));
  if (full?.snapshot === undefined) throw new NeedsFull('there is no complete full copy');
  const { note } = full;
  if (note.systemId !== cluster.systemId || note.generation !== generation.generation) {
    throw new NeedsFull('the last full copy is of another generation');
  }
  if (note.archives.length > 1) throw new NeedsFull('the last full copy has tablespaces');
  return { ...full, snapshot: full.snapshot };
}

async function take(
  backups: Backups,
  source: PostgresSource,
  store: Store,
  subject: Subject,
  id: string,
): Promise<Omit<Made, 'store' | 'failed'>> {
  const { host, settings } = backups;
  const full = await lastFull(backups, source, store, subject);
  if ((await tablespacesOf(host, source)).length > 0) throw new NeedsFull('there are tablespaces');
  await using scratch = await openScratch(host, settings.app);
  await needRoom(scratch.folder, 'copy', 'Combining an incremental copy with its full one', full.note.bytes * 3);
  const path = full.note.archives[0]?.path ?? '';
  await unpack(store, full.snapshot, path, join(scratch.folder, 'full')).catch((error: unknown) => {
    throw new NeedsFull(`the last full copy cannot be read: ${asDeployError(error).message}`);
  });

  const [port] = (await query(host, source, "SELECT current_setting('port');"))[0] ?? [];
  const file = `${source.name}.tar`;
  const tags = tagsOf(source.name, { kind: 'incremental', id });
  // In a container of its own: the manifest of the full has to be where pg_basebackup can read it.
  const command = [
    ...['docker', 'run', '--rm', '--user', '0:0', ...scratch.labels, '--network', `container:${source.container}`],
    ...[
      '--volume',
      `${scratch.folder}:/copy:ro`,
      ...inOurWords(APPLICATION).flatMap((variable) => ['--env', variable]),
    ],
    ...['--entrypoint', 'pg_basebackup', subject.image.id, ...copyOptions(source.user, id, 'fetch')],
    ...['--host=127.0.0.1', `--port=${port}`, '--incremental=/copy/full/backup_manifest', '--pgdata=-'],
  ];
  const stdin = ['--stdin-filename', file, '--stdin-from-command', '--'];
  const taken = await takeSnapshot(store, 'The incremental copy', tags, [...stdin, ...command]).catch((error) => {
    throw UNKNOWN.test(String(error)) ? new NeedsFull(asDeployError(error).message) : error;
  });
  const { snapshot, added, bytes, said } = taken;
  // Awaited here: what it works on is removed as soon as this returns.
  return await orDiscard(store, [snapshot], async () => {
    const at = await serverNow(host, source);
    await unpack(store, snapshot, `/${file}`, join(scratch.folder, 'incremental'));
    await offline(backups, scratch, subject, 'pg_combinebackup', [
      ...['/copy/full', '/copy/incremental', '--output=/copy/combined', '--no-sync'],
    ]);
    await offline(backups, scratch, subject, 'pg_verifybackup', ['/copy/combined']);
    const archives = [{ path: `/${file}` }];
    const copied = { ...positionsIn(said), at, snapshot, added, bytes, archives, withLog: true };
    const rest = await noteOf(backups, source, subject, id, copied);
    const note: BaseNote = { kind: 'incremental', of: full.note.id, ...rest };
    await putNote(backups, source, store, note);
    return { note, snapshot, added };
  });
}

/**
 * Copies what has changed since the last full into every repository, combines the two at once and looks through what
 * comes of it. Where the server cannot tell what has changed, or the full is gone, it takes a new full.
 */
export async function takeIncremental(backups: Backups, source: PostgresSource): Promise<readonly Done[]> {
  const { host } = backups;
  const subject = await subjectOf(backups, source);
  if (subject.cluster.major < SINCE) {
    return [{ details: { skipped: `PostgreSQL ${subject.cluster.major} cannot tell what has changed since a copy` } }];
  }
  const id = stampOf(new Date());
  try {
    const made = await makeInFirst(backups, (store) => take(backups, source, store, subject, id));
    return await deliver(backups, source, made, detailsOf(made.note as BaseNote));
  } catch (error) {
    if (!(error instanceof NeedsFull)) throw error;
    host.say(`taking a full copy instead: ${error.message}`);
    return takeFull(backups, source, error.message);
  }
}
