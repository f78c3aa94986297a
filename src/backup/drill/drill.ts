import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Backups, Wish } from '#backup/engine';
import { engineOf } from '#backup/engines';
import { needRoom, readSpace } from '#backup/room';
import { openScratch, type Scratch } from '#backup/scratch';
import { openStore, type Store, storeNamed } from '#backup/store/store';
import { asDeployError, type DeployError } from '#core/errors';
import type { DrillCheck, DrillReport, RepositoryName, Source, Standing } from '#protocol/backup';
import { type Alive, bootApp } from './app.ts';
import { drillLimits, giveWay } from './limits.ts';
import { recentCheck } from './recent.ts';
import { keepReport, readReports } from './reports.ts';
import { Stopwatch } from './stopwatch.ts';
import { type DrillTarget, randomMoment } from './target.ts';

/** What is to be restored on trial. */
export interface DrillOrder {
  readonly sources: readonly Source[];
  /** By source: what cron restores is each one's turn. */
  readonly target: (source: Source) => DrillTarget;
  readonly from: RepositoryName;
}

/** How often a random moment is drawn that turns out not to be restorable: gaps are known, and rare. */
const DRAWS = 5;

/** Bytes below which whatever failed did so for want of space. */
const FULL = 16 * 1024 ** 2;

/** What says that a copy is not good enough, where everything else that goes wrong says only that nothing was tried. */
const TELLING: ReadonlySet<DeployError['code']> = new Set([
  'copy-broken',
  'restore-refused',
  'no-backups',
  'key-refused',
]);

/** One source on its way through a drill. */
interface Course {
  readonly source: Source;
  readonly asked: DrillTarget;
  readonly watch: Stopwatch;
  report: DrillReport;
  alive: Alive | undefined;
}

function settle(course: Course, more: Partial<DrillReport>): void {
  course.report = { ...course.report, ...more, duration: course.watch.seconds, phases: course.watch.phases };
}

function tell({ host, settings }: Backups, course: Course, checks: readonly DrillCheck[]): void {
  const { app } = settings;
  for (const check of checks) host.tell({ type: 'drill.checked', app, source: course.source.name, check });
  settle(course, { checks: [...course.report.checks, ...checks] });
}

/** The moment to restore, or several to try one after the other: by chance one may be where nothing was kept. */
async function momentsFor(backups: Backups, { source, asked }: Course, standing: Standing) {
  if (asked !== 'random') return [asked];
  const reports = await readReports(backups.settings.app);
  const earlier = reports.filter((report) => report.source === source.name);
  const drawn = Array.from({ length: DRAWS }, () => randomMoment(standing, earlier, Math.random()));
  return drawn.map((moment) => (moment === undefined ? 'latest' : new Date(moment).toISOString()));
}

async function restoreOneOf(
  backups: Backups,
  course: Course,
  wish: Omit<Wish, 'to' | 'folder'>,
  moments: readonly string[],
  below: string,
) {
  const { source } = course;
  for (const [index, to] of moments.entries()) {
    settle(course, { target: to });
    const folder = join(below, `${source.name}-${index}`);
    await mkdir(folder, { mode: 0o700 });
    try {
      return await engineOf(source).restore(backups, source, { ...wish, to, folder });
    } catch (thrown) {
      await rm(folder, { recursive: true, force: true });
      if (index === moments.length - 1 || asDeployError(thrown).code !== 'restore-refused') throw thrown;
    }
  }
  throw new Error('there is no moment to restore');
}

/** Restores one source, brings it to life and looks through it. */
async function run(backups: Backups, course: Course, store: Store, scratch: Scratch) {
  const { source, watch } = course;
  const { host } = backups;
  const engine = engineOf(source);
  const phase = (name: string) => {
    watch.phase(name);
    host.say(`${source.name}: ${name}`);
  };
  const began = Date.now();
  phase('looking what there is');
  const standing = await engine.stands(backups, source, store);
  const newestOf = (moment: string | undefined) =>
    moment === undefined ? Number.NEGATIVE_INFINITY : Date.parse(moment);
  const copies = (await engine.copies(backups, source, store)).filter(({ complete }) => complete);
  await needRoom(scratch.folder, 'drill', 'Restoring', copies.at(-1)?.bytes ?? 0);
  const moments = await momentsFor(backups, course, standing);
  const { labels } = scratch;
  const name = `slipway-drill-${scratch.id}-${source.name}`.toLowerCase();
  const berth = { name, options: [...labels, ...(await drillLimits(host))] };
  const restored = await restoreOneOf(backups, course, { store, labels, phase, berth }, moments, scratch.folder);
  const { bytes, walBytes, reaches } = restored;
  const newest = Math.max(newestOf(standing.newest), newestOf(restored.newest));
  settle(course, {
    bytes,
    reached: reaches,
    rpo: Math.max(0, (began - newest) / 1000),
    ...(walBytes === undefined ? {} : { walBytes }),
  });
  tell(backups, course, [...restored.checks, recentCheck(source, newest, began)]);
  phase('bringing it to life');
  const revived = await engine.revive(backups, source, restored, berth);
  course.alive = { source, restored, revived };
  settle(course, { rto: watch.seconds });
  tell(backups, course, revived.checks);
  phase('looking through it');
  tell(backups, course, await engine.prove(backups, source, revived, restored));
}

async function explain(backups: Backups, course: Course, thrown: unknown, scratch: Scratch): Promise<void> {
  const { code, message } = asDeployError(thrown);
  // A program that writes says so in many ways.
  const isFull = /no space left on device/i.test(message) || (await readSpace(scratch.folder)).free < FULL;
  // What somebody has asked for by mistake is no fault of the copies.
  const isMistaken = code === 'restore-refused' && course.asked !== 'latest' && course.asked !== 'random';
  if (TELLING.has(code) && !isFull && !isMistaken) {
    const { name, duration } = course.watch.phases.at(-1) ?? { name: 'beginning', duration: 0 };
    return tell(backups, course, [{ name, result: 'failed', found: message, duration }]);
  }
  settle(course, { verdict: 'error', why: isFull && code !== 'disk-full' ? `The disk is full: ${message}` : message });
}

/** Boots the app on everything that was restored; what it comes to is told of the databases it was booted on. */
async function withApp(backups: Backups, courses: readonly Course[], scratch: Scratch): Promise<void> {
  const databases = courses.filter(({ source }) => source.type !== 'redis' && source.type !== 'volume');
  const carriers = databases.length > 0 ? databases : courses;
  for (const { watch } of carriers) watch.phase('booting the app on it');
  const check = await bootApp(
    backups,
    courses.flatMap(({ alive }) => alive ?? []),
    scratch,
  );
  for (const course of carriers) {
    course.watch.end();
    tell(backups, course, [check]);
  }
}

function judge(course: Course): void {
  const failed = course.report.checks.find(({ result }) => result === 'failed');
  if (course.report.why === undefined && failed !== undefined) {
    settle(course, { verdict: 'failed', why: `${failed.name}: ${failed.found}` });
  } else settle(course, {});
}

function courseOf(backups: Backups, source: Source, order: DrillOrder, scratch: Scratch): Course {
  const { app } = backups.settings;
  const asked = order.target(source);
  return {
    source,
    asked,
    watch: new Stopwatch(),
    alive: undefined,
    report: {
      ...{ id: `${scratch.id}-${source.name}`, app, source: source.name, type: source.type },
      ...{ at: new Date().toISOString(), by: backups.host.by, repository: order.from },
      ...{ verdict: 'passed', target: asked, phases: [], checks: [], duration: 0 },
    },
  };
}

/**
 * A repository as one sees it who has never read it: what the host remembers of it is no part of it. Which snapshots
 * there are is asked once, since restic takes its time to open a repository.
 */
async function openAnew({ host, settings }: Backups, name: RepositoryName, { folder }: Scratch): Promise<Store> {
  const [repository] = settings.repositories.filter((one) => one.name === name);
  if (repository === undefined) throw new Error(`there is no ${name} repository`);
  const store = await openStore(host, settings, repository, undefined, join(folder, 'cache'));
  const known = new Map<string, ReturnType<Store['snapshots']>>();
  return {
    ...store,
    snapshots(tags) {
      const key = tags.join();
      const found = known.get(key) ?? store.snapshots(tags);
      known.set(key, found);
      return found;
    },
  };
}

/** Everything that leaves traces; they are gone when it resolves. */
async function goThrough(backups: Backups, order: DrillOrder): Promise<readonly Course[]> {
  const { host, settings } = backups;
  const { name } = storeNamed(backups.stores, order.from);
  await giveWay(host);
  await using scratch = await openScratch(host, settings.app);
  const store = await openAnew(backups, name, scratch);
  const courses: Course[] = [];
  for (const source of order.sources) {
    const course = courseOf(backups, source, order, scratch);
    courses.push(course);
    try {
      await run(backups, course, store, scratch);
    } catch (thrown) {
      await explain(backups, course, thrown, scratch);
    }
    course.watch.end();
  }
  if (courses.some(({ alive }) => alive !== undefined)) await withApp(backups, courses, scratch);
  return courses;
}

/**
 * Restores what a repository holds into a folder of its own, has it served by containers without a network, looks through
 * it, and boots the app on it. Leaves nothing but its reports, one for each source.
 */
export async function drill(backups: Backups, order: DrillOrder): Promise<readonly DrillReport[]> {
  const { host, settings } = backups;
  const reports: DrillReport[] = [];
  // The disk may have been full of what is gone now.
  for (const course of await goThrough(backups, order)) {
    judge(course);
    await keepReport(backups, course.report);
    host.tell({ type: 'drill.ended', app: settings.app, report: course.report });
    reports.push(course.report);
  }
  return reports;
}
