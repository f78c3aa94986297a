import { mkdir, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { Backups } from '#backup/engine';
import { sourceFolder } from '#backup/places';
import { recipientFor } from '#backup/recipient';
import { readSpace } from '#backup/room';
import { seal } from '#backup/seal';
import type { Store } from '#backup/store/store';
import { lockFile } from '#core/file-lock';
import type { PostgresSource } from '#protocol/backup';
import { endOfSegment, printWalName } from './archive.ts';
import {
  archiveFolder,
  beginOf,
  type Generation,
  generationPrefix,
  localGenerations,
  readGeneration,
} from './generation.ts';
import { contentEnd, type LocalLog, readLocal, removable, removeFrom, STAY, unshipped } from './local.ts';
import { type Lsn, latestOf } from './lsn.ts';
import { observe, untilReceived } from './observe.ts';
import { type Arrivals, keyOf, NOTHING, readArrivals, type Shipped, shippingLock, writeArrivals } from './shipped.ts';

/** What shipping to one repository came to. */
export interface Delivery {
  /** Up to where the present generation is there. */
  readonly reaches: Lsn;
  /** Segments, beginnings and histories that were shipped. */
  readonly objects: number;
  /** Where log that comes next is gone from the host: the present generation cannot go on. */
  readonly hole?: string;
}

/** Segments that are sealed and put in one go: what is sealed takes space until it is there. */
const BATCH = 8;

/** The share of free space below which what is copied everywhere goes at once. */
const SCARCE = 0.25;

/** Beginnings of segments that stay in a repository. */
const KEPT_PARTIALS = 2;

/** Beginnings of segments that are removed in one go: a request each minute would be one too many. */
const SUPERSEDED = 5;

/** What one shipment works with. */
interface Shipment {
  readonly backups: Backups;
  readonly source: PostgresSource;
  readonly store: Store;
  readonly spool: string;
}

function urlOf({ settings }: Pick<Backups, 'settings'>, store: Store): string {
  return settings.repositories.find(({ name }) => name === store.name)?.url ?? '';
}

/** Seals files and puts them; what was sealed is forgotten only once it is there. */
async function put(
  { backups, store, source, spool }: Shipment,
  generation: Pick<Generation, 'systemId' | 'generation'>,
  files: readonly string[],
): Promise<readonly string[]> {
  const folder = join(spool, 'sealed');
  await rm(folder, { recursive: true, force: true });
  try {
    const sealed = await seal(await recipientFor(backups, store), files, folder);
    const prefix = generationPrefix(source.name, generation);
    await store.put(folder, prefix);
    return sealed.map((path) => `${prefix}/${path.slice(path.lastIndexOf('/') + 1)}`);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The beginning of a segment, where it has more than what is there already. */
async function putBegun(
  shipment: Shipment,
  generation: Pick<Generation, 'systemId' | 'generation'>,
  { folder, begun, segmentBytes }: LocalLog,
  shipped: Shipped,
  received: Lsn | undefined,
): Promise<Shipped> {
  if (begun === undefined) return shipped;
  const content = await contentEnd(folder, begun, segmentBytes);
  if (content === undefined) return shipped;
  // What the receiver has told may end with zeros, which the content does not show.
  const told = received !== undefined && received < endOfSegment(begun, segmentBytes) ? received : 0n;
  const flushed = latestOf([told, content]);
  const above = endOfSegment(begun, segmentBytes) - BigInt(segmentBytes);
  if (flushed <= shipped.reaches || flushed === above) return shipped;
  const name = printWalName({
    kind: 'partial',
    timeline: Number.parseInt(begun.slice(0, 8), 16),
    file: begun,
    flushed,
  });
  const link = join(shipment.spool, name);
  await rm(link, { force: true });
  await symlink(join(folder, `${begun}.partial`), link);
  try {
    const objects = await put(shipment, generation, [link]);
    return { ...shipped, reaches: flushed, partials: [...shipped.partials, ...objects] };
  } catch (error) {
    // Closed meanwhile, it has another name, under which it is shipped next.
    if ((await contentEnd(folder, begun, segmentBytes)) === undefined) return shipped;
    throw error;
  } finally {
    await rm(link, { force: true });
  }
}

/** Ships what a generation has on the host and a repository has not; what has arrived is noted batch by batch. */
async function shipGeneration(
  shipment: Shipment,
  generation: Pick<Generation, 'systemId' | 'generation'>,
  local: LocalLog,
  before: Shipped,
  received: Lsn | undefined,
  note: (shipped: Shipped) => Promise<void>,
): Promise<Omit<Delivery, 'reaches'> & { readonly shipped: Shipped }> {
  let shipped = before;
  let objects = 0;
  const arrived = async (count: number, now: Shipped): Promise<void> => {
    shipped = now;
    objects += count;
    await note(now);
  };
  const histories = local.histories.filter((name) => !shipped.histories.includes(name));
  if (histories.length > 0) {
    const paths = histories.map((name) => join(local.folder, name));
    await put(shipment, generation, paths);
    await arrived(histories.length, { ...shipped, histories: [...shipped.histories, ...histories] });
  }
  const { segments, hole } = unshipped(local, shipped);
  for (let at = 0; at < segments.length; at += BATCH) {
    const batch = segments.slice(at, at + BATCH);
    const paths = batch.map((name) => join(local.folder, name));
    await put(shipment, generation, paths);
    const last = batch.at(-1) ?? '';
    const reaches = latestOf([endOfSegment(last, local.segmentBytes), shipped.reaches]);
    await arrived(batch.length, { ...shipped, segment: last, reaches });
  }
  if (hole !== undefined) return { objects, hole, shipped };
  const now = await putBegun(shipment, generation, local, shipped, received);
  if (now !== shipped) await arrived(1, now);
  return { objects, shipped };
}

/** Removes beginnings of segments that later objects hold too; where that is nobody's right they stay until they expire. */
async function forgetPartials(store: Store, shipped: Shipped): Promise<Shipped> {
  const superseded = shipped.partials.slice(0, -KEPT_PARTIALS);
  if (superseded.length < SUPERSEDED) return shipped;
  await store.remove(superseded);
  return { ...shipped, partials: shipped.partials.slice(-KEPT_PARTIALS) };
}

/**
 * Ships to one repository all log that it has not yet, as sealed objects that are written once; rejects where it cannot
 * be reached. `received` is up to where the receiver says that it has the present generation.
 */
export async function shipTo(
  backups: Backups,
  source: PostgresSource,
  store: Store,
  received?: Lsn,
  patience = 0,
): Promise<Delivery | undefined> {
  const { app } = backups.settings;
  await using turn = await lockFile(await shippingLock(app, source.name, store.name), patience);
  if (turn === undefined) return undefined;
  const url = urlOf(backups, store);
  const spool = join(sourceFolder(app, source.name), 'spool', store.name);
  await mkdir(spool, { recursive: true, mode: 0o700 });
  const shipment: Shipment = { backups, source, store, spool };
  const present = await readGeneration(app, source.name);
  let arrivals: Arrivals = await readArrivals(app, source.name, store.name, url);
  let delivery: Delivery = { reaches: 0n, objects: 0 };
  let objects = 0;
  for (const generation of await localGenerations(app, source.name)) {
    const isPresent = present?.generation === generation.generation && present.systemId === generation.systemId;
    const key = keyOf(generation);
    const note = async (shipped: Shipped): Promise<void> => {
      arrivals = { ...arrivals, [key]: shipped };
      await writeArrivals(app, source.name, store.name, url, arrivals);
    };
    const local = await readLocal(archiveFolder(app, source.name, generation), generation.segmentBytes);
    const before = arrivals[key] ?? NOTHING;
    const done = await shipGeneration(shipment, generation, local, before, isPresent ? received : undefined, note);
    objects += done.objects;
    const { shipped } = done;
    const left = await forgetPartials(store, shipped);
    if (left !== shipped) await note(left);
    if (isPresent)
      delivery = { ...delivery, reaches: left.reaches, ...(done.hole === undefined ? {} : { hole: done.hole }) };
  }
  return { ...delivery, objects };
}

/** Milliseconds for which the receiver may lag. */
const CATCH_UP = 60_000;

/** Seconds to wait for whoever ships at the moment. */
const TURN = 300;

/** Ships to a repository everything that the server has written by now; rejects where that is not there in the end. */
export async function shipAll(backups: Backups, source: PostgresSource, store: Store): Promise<void> {
  const { flushed: goal } = await observe(backups.host, source);
  const received = await untilReceived(backups.host, source, goal, CATCH_UP);
  await shipTo(backups, source, store, received, TURN);
}

/** Removes from the host what is in every repository and need not stay; generations that are over go whole. */
export async function tidy({ settings, stores }: Backups, source: PostgresSource): Promise<void> {
  const { app } = settings;
  const present = await readGeneration(app, source.name);
  const arrivals = await Promise.all(
    stores.map((store) => readArrivals(app, source.name, store.name, urlOf({ settings }, store))),
  );
  for (const generation of await localGenerations(app, source.name)) {
    const folder = archiveFolder(app, source.name, generation);
    const local = await readLocal(folder, generation.segmentBytes);
    const shipped = arrivals.map((one) => one[keyOf(generation)] ?? NOTHING);
    const { free, total } = await readSpace(folder);
    const manner = { now: Date.now(), scarce: free < total * SCARCE };
    const last = shipped.map(({ segment }) => segment);
    await removeFrom(folder, await removable(local, last, manner));
    if (generation.generation === present?.generation) continue;
    const end = local.begun === undefined ? undefined : await contentEnd(folder, local.begun, local.segmentBytes);
    const whole = shipped.every(
      (one) => (end === undefined || one.reaches >= end) && unshipped(local, one).segments.length === 0,
    );
    if (whole && Date.now() - beginOf(present ?? generation) > STAY) await rm(folder, { recursive: true, force: true });
  }
}
