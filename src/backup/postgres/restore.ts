import { mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Backups, Prospect, Restored, Wish } from '#backup/engine';
import { openScratch } from '#backup/scratch';
import { BrokenCopy } from '#backup/seal';
import { lastLines } from '#core/run';
import type { DrillCheck, PostgresSource } from '#protocol/backup';
import type { Host } from '#resources/resource';
import { fetchBase } from './fetch.ts';
import { formatLsn, parseLsn } from './lsn.ts';
import { combine, replay, type Tools, verifyBase } from './replay.ts';
import { formatMoment } from './target.ts';
import { type Asked, bytesOf, findWay, toolsFor, type Way } from './way.ts';

function prospectOf({ base, reaches, newest, log, ...rest }: Way): Prospect {
  return {
    reaches: formatMoment(reaches),
    newest: formatMoment(newest),
    base: base.note.id,
    bytes: bytesOf({ base, ...rest }, log.files.length * log.segmentBytes),
  };
}

/** What a restoration would come to, with all log read that it takes. */
export async function foresee(
  backups: Backups,
  source: PostgresSource,
  wish: Pick<Wish, 'store' | 'to'>,
): Promise<Prospect> {
  await using scratch = await openScratch(backups.host, backups.settings.app);
  const asked = { ...wish, folder: scratch.folder, labels: scratch.labels, phase: () => undefined };
  return prospectOf(await findWay(backups, source, asked));
}

async function unpack(
  backups: Backups,
  { base, full }: Way,
  { store, folder, phase }: Asked,
  tools: Tools,
): Promise<void> {
  const { host } = backups;
  phase('fetching the base');
  const data = join(folder, 'data');
  if (full === undefined) return fetchBase(store, base, data);
  await fetchBase(store, full, join(folder, 'full'));
  await fetchBase(store, base, join(folder, 'incremental'));
  phase('combining');
  await combine(host, tools, folder, ['full', 'incremental'], 'data');
  for (const part of ['full', 'incremental']) await rm(join(folder, part), { recursive: true, force: true });
}

/** Where an image keeps its data below what is mounted: the newest layout has a folder for each major version. */
async function placeOf(host: Host, image: string): Promise<{ readonly mount: string; readonly data: string }> {
  const { stdout } = await host.must(['docker', 'image', 'inspect', '--format={{json .Config.Env}}', image]);
  const variables = JSON.parse(stdout) as readonly string[];
  const found = variables.find((one) => one.startsWith('PGDATA='))?.slice('PGDATA='.length);
  const data = found ?? '/var/lib/postgresql/data';
  return { data, mount: /^\/var\/lib\/postgresql\/\d+\//.test(data) ? '/var/lib/postgresql' : data };
}

/** Restores a cluster into an empty folder: nothing starts before all that it takes is here and proven. */
export async function restore(backups: Backups, source: PostgresSource, wish: Wish): Promise<Restored> {
  const { host } = backups;
  const checks: DrillCheck[] = [];
  let since = performance.now();
  const passed = (name: string, found: string): void => {
    checks.push({ name, result: 'passed', found, duration: (performance.now() - since) / 1000 });
    since = performance.now();
  };
  const way = await findWay(backups, source, wish);
  const { base, log, stop, broken } = way;
  for (const { object, why } of broken) {
    checks.push({ name: 'notes', result: 'failed', found: `${object}: ${why}`, duration: 0 });
  }
  passed('log', `${log.files.length} segments without a gap, each as it was written, read to ${formatLsn(log.end)}`);
  const tools = await toolsFor(host, base.note.image, wish.labels);
  await unpack(backups, way, wish, tools);
  wish.phase('verifying the base');
  const data = join(wish.folder, 'data');
  const verified = await verifyBase(host, tools, data, base.note.withLog);
  if (verified.exitCode !== 0) {
    const snapshot = (base.snapshot ?? '').slice(0, 8);
    throw new BrokenCopy(
      `snapshot ${snapshot}`,
      'changed',
      `The copy ${base.note.id} (snapshot ${snapshot}) is not what its manifest says:\n${lastLines(verified)}`,
    );
  }
  passed('pg_verifybackup', `every file of ${base.note.id} is as its manifest says`);
  wish.phase('replaying');
  const scripts = join(wish.folder, 'scripts');
  await mkdir(scripts, { mode: 0o755 });
  const place = await placeOf(host, base.note.image);
  const name = `${source.container}-restore-${process.pid}`;
  const ended = await replay(host, tools, { data, place: place.data, log: log.folder, scripts }, stop, name);
  passed('recovery', ended.stopped);
  for (const folder of ['log', 'scripts']) await rm(join(wish.folder, folder), { recursive: true, force: true });
  return {
    ...prospectOf(way),
    data: await layOut(wish.folder, data, place),
    checks,
    walBytes: Number(ended.reached - parseLsn(base.note.start)),
  };
}

/** The folder to mount: the data itself, or what holds it where the image wants it so. */
async function layOut(
  folder: string,
  data: string,
  { mount, data: own }: { mount: string; data: string },
): Promise<string> {
  if (mount === own) return data;
  const root = join(folder, 'storage');
  const inner = join(root, own.slice(mount.length));
  await mkdir(join(inner, '..'), { recursive: true, mode: 0o755 });
  await rename(data, inner);
  return root;
}
