import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Backups, Wish } from '#backup/engine';
import { needRoom } from '#backup/room';
import { BrokenCopy } from '#backup/seal';
import type { Store } from '#backup/store/store';
import { DeployError } from '#core/errors';
import type { PostgresSource } from '#protocol/backup';
import type { Host } from '#resources/resource';
import { type Base, type Catalogue, completeBases, isComplete, logPrefix, readCatalogue } from './catalogue.ts';
import { beginsAt, type Candidate, candidatesFor, type Range, rangeOf } from './choose.ts';
import { fetchLog } from './fetch.ts';
import { readGeneration } from './generation.ts';
import { parseLsn } from './lsn.ts';
import { DamagedLog, type LocalLog, type ReadLog, readLog } from './read-log.ts';
import { inImage, type Tools } from './replay.ts';
import type { Stop } from './search.ts';
import { formatMoment, type Moment, parseMoment, parseTarget, type Target } from './target.ts';
import { coveredBy, readWatched } from './watched.ts';

/** Where restoring begins, where it ends, and the log between, which is on this machine already. */
export interface Way {
  readonly base: Base;
  /** The one that an incremental base is combined with. */
  readonly full?: Base;
  readonly log: LocalLog;
  readonly stop: Stop;
  readonly reaches: Moment;
  readonly newest: Moment;
  /** What was noted of other copies and cannot be read. */
  readonly broken: Catalogue['broken'];
}

/** Where restoring begins. */
export type Beginning = Pick<Way, 'base' | 'full'>;

/** What is asked for, and what it may use. */
export type Asked = Pick<Wish, 'store' | 'to' | 'folder' | 'labels' | 'phase'> & {
  /** Told where restoring will begin as soon as nothing but a fault can change that: long before the log is read. */
  readonly chosen?: (beginning: Beginning) => unknown;
};

function refuse(message: string, hint: string): DeployError {
  return new DeployError('restore-refused', message, { hint });
}

function zone(): string {
  return Intl.DateTimeFormat().resolvedOptions().timeZone;
}

/** Bytes that a way takes on disk, with so many of log. */
export function bytesOf({ base, full }: Beginning, log: number): number {
  // An incremental, its full and what the two become lie side by side.
  const own = full === undefined ? base.note.bytes : base.note.bytes + 2 * full.note.bytes;
  return own + log;
}

/** The programs of the image that a copy was taken with, which match its data. */
export async function toolsFor(host: Host, image: string, labels: readonly string[]): Promise<Tools> {
  if ((await host.run(['docker', 'image', 'inspect', image])).exitCode === 0) return { image, labels };
  await host.must(['docker', 'pull', '--quiet', image], {
    timeout: 1800,
    hint: `The copy was taken with ${image}; let the host reach its registry, or load it there.`,
  });
  return { image, labels };
}

function stretchOf({ stretches }: Catalogue, { note }: Base): Catalogue['stretches'][number] {
  const found = stretches.find(
    ({ systemId, generation }) => systemId === note.systemId && generation === note.generation,
  );
  return found ?? { systemId: note.systemId, generation: note.generation, objects: [] };
}

/** PostgreSQL goes on past the end of a timeline only with the history that says where the next one parted from it. */
function demandHistory(catalogue: Catalogue, base: Base): void {
  const { timeline, generation } = base.note;
  if (timeline === 1) return;
  const { objects } = stretchOf(catalogue, base);
  if (objects.some(({ log }) => log.kind === 'history' && log.timeline === timeline)) return;
  throw refuse(
    `The history of timeline ${timeline} is not in the repository: where generation ${generation} parted from the one before is lost.`,
    'Restore an older moment, or from the other repository with --from.',
  );
}

/** Why a target is in none of the log that could be read, and what there is instead. */
function beyond(
  target: Target,
  { note }: Base,
  range: Range,
  known: Moment | undefined,
  catalogue: Catalogue,
  prefix: string,
): DeployError {
  const newest = known === undefined ? note.at : formatMoment(known);
  const { systemId, generation } = note;
  if (range.missing !== undefined) {
    const object = `${prefix}/${systemId}/${generation}/${range.missing}`;
    const instead = `The newest moment before it is ${newest}: --to ${newest}.`;
    return new DeployError('copy-broken', `${object} is missing in the ${catalogue.store} repository.`, {
      hint: instead,
    });
  }
  if (target.kind === 'time') {
    const next = catalogue.bases.find((one) => isComplete(one) && beginsAt(one) > target.moment);
    const asked = formatMoment(target.moment);
    return next === undefined
      ? refuse(
          `${asked} is after all that is kept.`,
          `The newest moment is ${newest}, which \`--to latest\` restores; what came since is sent within a minute.`,
        )
      : refuse(
          `Nothing of ${asked} was kept: the log was interrupted between ${newest} and ${next.note.at}.`,
          `Take ${newest} or an earlier moment, or ${next.note.at} or a later one.`,
        );
  }
  const what =
    target.kind === 'name'
      ? `A restore point ${target.name}`
      : target.kind === 'xid'
        ? `The transaction ${target.xid}`
        : 'That';
  return refuse(
    `${what} is in nothing that is kept.`,
    'What is newer than a minute may not be sent yet. A moment is written like 2026-03-29T12:05:00Z.',
  );
}

/** Where to stop in a log that was read; undefined where the target is not in it. */
function stopIn(target: Target, read: ReadLog, range: Range, known: Moment | undefined): Stop | undefined {
  if (read.stop !== undefined) return read.stop;
  const end: Stop = { lsn: read.last, inclusive: true };
  if (range.missing !== undefined) return undefined;
  if (target.kind === 'latest') return end;
  if (target.kind === 'lsn' && target.lsn <= range.end) {
    return target.lsn <= read.last ? { lsn: target.lsn, inclusive: false } : end;
  }
  // Nothing was committed after it: what the log ends with is what there was.
  if (target.kind === 'time' && known !== undefined && target.moment <= known) return end;
  return undefined;
}

/**
 * Up to which moment it is known that the end of a repository's log is the end of all: without a transaction since, the
 * log itself does not tell. Undefined where this host has not looked.
 */
async function knownOf(
  { settings: { app } }: Backups,
  { name }: PostgresSource,
  store: Store,
  { note }: Base,
  { end }: Range,
): Promise<Moment | undefined> {
  const [generation, watched, noted] = await Promise.all([
    readGeneration(app, name),
    readWatched(app, name),
    coveredBy(app, name, note.generation, end),
  ]);
  const isPresent = generation?.generation === note.generation && generation.systemId === note.systemId;
  const covered = isPresent ? watched?.stores[store.name]?.covered : undefined;
  const moments = [covered, noted].map((one) => (one === undefined ? undefined : parseMoment(one)));
  return later(moments[0], moments[1]);
}

function asked(target: Target): Moment | undefined {
  return target.kind === 'time' ? target.moment : undefined;
}

/** The later of two moments. */
function later(one: Moment | undefined, other: Moment | undefined): Moment | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  return one > other ? one : other;
}

async function tryCandidate(
  backups: Backups,
  source: PostgresSource,
  catalogue: Catalogue,
  { base, until }: Candidate,
  target: Target,
  { store, folder, labels, phase, chosen }: Asked,
): Promise<Way | DeployError> {
  const { host, settings } = backups;
  demandHistory(catalogue, base);
  const { note } = base;
  const range = rangeOf(stretchOf(catalogue, base), base, until);
  const size = range.pieces.length * note.segmentBytes;
  const full =
    note.kind === 'incremental'
      ? catalogue.bases.find((one) => one.note.kind === 'full' && one.note.id === note.of)
      : undefined;
  const parts = { base, ...(full === undefined ? {} : { full }) };
  await needRoom(folder, 'restore', 'Restoring', bytesOf(parts, size));
  chosen?.(parts);
  phase('fetching the log');
  await rm(join(folder, 'log'), { recursive: true, force: true });
  const log = await fetchLog(settings.app, store, range, note, join(folder, 'log'));
  phase('reading the log');
  const tools = await toolsFor(host, note.image, labels);
  const where = { start: parseLsn(note.start), from: parseLsn(note.stop), target };
  const read = await readLog(log, where, inImage(tools, [{ from: log.folder, to: '/log' }])).catch((error: unknown) => {
    if (!(error instanceof DamagedLog)) throw error;
    const object = range.pieces.find(({ file }) => file === error.file)?.object ?? error.file;
    throw new BrokenCopy(object, 'changed', error.message.replaceAll(error.file, object));
  });
  // Where the next copy begins, the log has told all that there was before.
  const known =
    until === undefined ? later(await knownOf(backups, source, store, base, range), read.newest) : asked(target);
  const stop = stopIn(target, read, range, known);
  if (stop === undefined)
    return beyond(target, base, range, later(known, read.newest), catalogue, logPrefix(source.name));
  const reached = read.reached ?? beginsAt(base);
  return {
    ...parts,
    log,
    stop,
    broken: catalogue.broken,
    // Nothing was committed between the last transaction and the moment up to which that is known.
    reaches:
      target.kind === 'time' ? target.moment : target.kind === 'latest' ? (later(known, reached) ?? reached) : reached,
    newest: later(later(known, read.newest), beginsAt(base)) ?? 0n,
  };
}

/** After a disaster the newest copy is of what was set up since, and what is wanted is hardly that. */
function warnOfOthers(host: Host, chosen: Base | undefined, { bases }: Catalogue): void {
  const other = bases.findLast((base) => isComplete(base) && base.note.systemId !== chosen?.note.systemId);
  if (other === undefined) return;
  host.warn(
    `The newest copy is of another cluster than that of ${other.note.at}, which was not made from it.`,
    'To restore that one, name a moment of it with --to.',
  );
}

/** Finds where restoring has to begin and to end; the log for it is on this machine and sound afterwards. */
export async function findWay(backups: Backups, source: PostgresSource, asked: Asked): Promise<Way> {
  const target = parseTarget(asked.to, zone());
  asked.phase('choosing a copy');
  // Were the host gone there would be nothing but the repository.
  const catalogue = await readCatalogue(backups, source, asked.store, { anew: true });
  const [unread] = catalogue.broken;
  if (unread !== undefined && completeBases(catalogue).length === 0) {
    throw new BrokenCopy(unread.object, 'changed', unread.why);
  }
  const candidates = candidatesFor(target, catalogue);
  if (target.kind === 'latest') warnOfOthers(backups.host, candidates[0]?.base, catalogue);
  // Only of what may be anywhere is it worth looking further back.
  const worthTrying = target.kind === 'name' || target.kind === 'xid' ? candidates : candidates.slice(0, 1);
  const { chosen, ...others } = asked;
  const told = chosen === undefined || worthTrying.length > 1 ? others : { ...others, chosen };
  let refused: DeployError | undefined;
  for (const candidate of worthTrying) {
    const way = await tryCandidate(backups, source, catalogue, candidate, target, told);
    if (!(way instanceof DeployError)) return way;
    refused ??= way;
  }
  throw refused ?? refuse('There is no copy to begin with.', 'Make one with `deploy backup now <environment>`.');
}
