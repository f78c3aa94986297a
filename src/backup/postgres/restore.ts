import { mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Backups, Prospect, Restored, Wish } from '#backup/engine';
import { openScratch } from '#backup/scratch';
import { BrokenCopy } from '#backup/seal';
import { lastLines } from '#core/run';
import type { DrillCheck, PostgresSource } from '#protocol/backup';
import type { Host } from '#resources/resource';
import { formatLsn, parseLsn } from './lsn.ts';
import { replay, replayingOnly, type Tools } from './replay.ts';
import { imageOf, servedAt } from './revive.ts';
import { formatMoment } from './target.ts';
import { unpack, verifyBase } from './unpack.ts';
import { type Beginning, bytesOf, findWay, toolsFor, type Way } from './way.ts';

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

/** A way, its base as it is being unpacked, and what it takes to go on from there. */
interface Brought {
  readonly way: Way;
  readonly unpacking: Promise<boolean>;
  readonly tools: Tools;
  readonly place: Awaited<ReturnType<typeof placeOf>>;
  /** Where whoever replays leaves it to be served. */
  readonly berth: Wish['berth'];
}

/** Finds the way and unpacks its base, both at once where it is certain from the beginning which one that is. */
async function bring(backups: Backups, source: PostgresSource, wish: Wish): Promise<Brought> {
  const { host } = backups;
  const ending = new AbortController();
  let unpacking: Promise<boolean> | undefined;
  const chosen = (beginning: Beginning): Promise<boolean> => {
    unpacking = unpack(backups, beginning, wish, ending.signal);
    unpacking.catch(() => undefined);
    return unpacking;
  };
  try {
    const way = await findWay(backups, source, { ...wish, chosen });
    const { image } = way.base.note;
    const tools = await toolsFor(host, image, wish.labels);
    const [place, berth] = await Promise.all([placeOf(host, image), berthFor(backups, source, wish, tools)]);
    return { way, unpacking: unpacking ?? chosen(way), tools, place, berth };
  } catch (error) {
    ending.abort();
    // What is cleared away next must not be written to any more.
    await unpacking?.catch(() => undefined);
    throw error;
  }
}

/** Where the data is to be served, as far as whoever replays it may serve it: with the programs of the database that is. */
async function berthFor({ host }: Backups, source: PostgresSource, { berth }: Wish, { image }: Tools) {
  if (berth === undefined) return undefined;
  const ids = [image, await imageOf(host, source)].map((one) => host.docker<{ Id: string }>(`/images/${one}/json`));
  const [replaying, serving] = await Promise.all(ids);
  return replaying !== undefined && replaying.Id === serving?.Id ? berth : undefined;
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
  const data = join(wish.folder, 'data');
  await mkdir(data, { mode: 0o700 });
  const { way, unpacking, tools, place, berth } = await bring(backups, source, wish);
  const { base, log, stop, broken } = way;
  for (const { object, why } of broken) {
    checks.push({ name: 'notes', result: 'failed', found: `${object}: ${why}`, duration: 0 });
  }
  passed('log', `${log.files.length} segments without a gap, each as it was written, read to ${formatLsn(log.end)}`);
  wish.phase('fetching the base');
  const verifying = verifyBase(host, tools, data, base.note.withLog, unpacking);
  // Which ends without a base, too.
  await unpacking.catch(() => verifying);
  await unpacking;
  wish.phase('verifying the base');
  const verified = await verifying;
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
  const running =
    berth === undefined ? replayingOnly(`${source.container}-restore-${process.pid}`, tools.labels) : servedAt(berth);
  const ended = await replay(host, tools, { data, place: place.data, log: log.folder, scripts }, stop, running);
  passed('recovery', ended.stopped);
  const isServed = running.stays;
  if (!isServed) {
    for (const folder of ['log', 'scripts']) await rm(join(wish.folder, folder), { recursive: true, force: true });
  }
  return {
    ...prospectOf(way),
    data: isServed ? data : await layOut(wish.folder, data, place),
    isServed,
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
