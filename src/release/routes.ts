import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { asDeployError, DeployError } from '#core/errors';
import { tryNginx } from '#resources/nginx-trial';
import type { ReleaseProps } from '#resources/release';
import type { Host } from '#resources/resource';
import { asText, readJson, replaceText, syncFolder } from './durable.ts';
import { flagsOf } from './flags.ts';
import { readRecord } from './record.ts';
import { reloadNginx } from './reload.ts';
import {
  admit,
  generationIn,
  generationOf,
  type RouteTable,
  type RouteTables,
  renderTables,
  type TableName,
  tableOf,
} from './route-tables.ts';
import { readSlots, releasesOf, type Slot } from './slots.ts';

const ATTRIBUTES = { mode: '0644', owner: 'root', group: 'root' };

/** The same mark that `up` sets before it changes what nginx reads, so whoever comes next reloads it. */
const MARK = '/var/lib/slipway/pending/reload@nginx.service';

/** What nginx includes to know an app's routes. */
const routesFile = (app: string): string => `/etc/nginx/conf.d/slipway-${app}-routes.conf`;

const tablesFile = (app: string): string => join(releasesOf(app), 'routes.json');

/** nginx asks for this very file at every request: which of the two tables a slot, or what is held, goes by. */
const tableFlag = (app: string, slot: Slot | 'held'): string => join(flagsOf(app), `${slot}-by-b`);

const isThere = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

async function tableIn(app: string, slot: Slot): Promise<TableName> {
  return (await isThere(tableFlag(app, slot))) ? 'b' : 'a';
}

async function goBy(app: string, slot: Slot | 'held', table: TableName): Promise<void> {
  const flag = tableFlag(app, slot);
  if ((await isThere(flag)) === (table === 'b')) return;
  if (table === 'b') return replaceText(flag, '', 0o644);
  await rm(flag, { force: true });
  await syncFolder(flagsOf(app));
}

/** Lets what is held be routed as it is in a slot. */
export async function holdAs(app: string, slot: Slot): Promise<void> {
  await goBy(app, 'held', await tableIn(app, slot));
}

/** The tables that hold, with one for the live slot in any case: where none is remembered, by its release's record. */
async function readTables(app: string, live: TableName | undefined, wanted: RouteTable): Promise<RouteTables> {
  const there = (await readJson<RouteTables>(tablesFile(app))) ?? {};
  if (live === undefined || there[live] !== undefined) return there;
  const slots = await readSlots(app);
  const occupant = slots.live === undefined ? undefined : slots[slots.live];
  const record = occupant === undefined ? undefined : await readRecord(app, occupant.release);
  return { ...there, [live]: record === undefined ? wanted : tableOf(record.props) };
}

/** Whether nginx is told of exactly the tables that the host remembers. */
export async function isRouted(host: Host, app: string): Promise<boolean> {
  const tables = await readJson<RouteTables>(tablesFile(app));
  const text = await host.readFile(routesFile(app));
  return tables === undefined ? text === undefined : text === renderTables(app, tables);
}

const STAY = 'stay-';

/**
 * Keeps workers of nginx that are about to leave with the slot that serves now: a connection that was opened before the
 * reload may bring its first request long after the flip, and they know nothing of the routes that hold by then.
 */
async function keepOldWorkers(app: string, old: string | undefined, next: string, live: Slot | undefined) {
  const folder = flagsOf(app);
  for (const flag of ['', '-green']) await rm(join(folder, `${STAY}${next}${flag}`), { force: true });
  if (old === undefined || old === next || live === undefined) return [];
  // The first says that they stay and is written last; without the second, with blue.
  const kept = [...(live === 'green' ? [`${STAY}${old}-green`] : []), `${STAY}${old}`];
  for (const name of kept) await replaceText(join(folder, name), '', 0o644);
  return kept;
}

async function forgetWorkers(app: string, kept: readonly string[]): Promise<void> {
  const folder = flagsOf(app);
  const names = (await readdir(folder).catch(() => [])).filter((name) => name.startsWith(STAY) && !kept.includes(name));
  await Promise.all(names.map((name) => rm(join(folder, name), { force: true })));
}

async function load(host: Host, app: string, tables: RouteTables, live: Slot | undefined): Promise<void> {
  const file = routesFile(app);
  const [before, isDue] = await Promise.all([host.readFile(file), isThere(MARK)]);
  const text = renderTables(app, tables);
  if (before === text && !isDue) return;
  host.say('bringing the routes of the release');
  try {
    await tryNginx(host, `the routes of ${app}`, { [file]: text }, [], new Set());
  } catch (thrown) {
    const { message } = asDeployError(thrown);
    throw new DeployError('release-rejected', message, {
      hint: 'Traffic was not touched. Run `deploy up`, which brings what the routes need.',
    });
  }
  await replaceText(MARK, '');
  await replaceText(tablesFile(app), asText(tables));
  const kept = await keepOldWorkers(app, generationIn(before), generationOf(tables), live);
  await host.writeFile(file, text, ATTRIBUTES);
  try {
    await reloadNginx(host);
  } catch (error) {
    // The workers stay, and must obey the next flip.
    await forgetWorkers(app, []);
    throw error;
  }
  await rm(MARK, { force: true });
  // Where a reload was due already, the workers that leave may be of a state before the one that was found.
  if (!isDue) await forgetWorkers(app, kept);
}

/**
 * Sees to it that requests to a slot are routed as its release declares, whatever holds for the other slot: the flag of
 * the live slot alone decides which of both holds. nginx is reloaded only where it does not know these routes yet, so
 * most releases leave it alone.
 */
export async function bringRoutes(
  host: Host,
  app: string,
  slot: Slot,
  props: Pick<ReleaseProps, 'routes' | 'gates' | 'swap'>,
): Promise<void> {
  const wanted = tableOf(props);
  if (wanted.length === 0 && (await host.readFile(routesFile(app))) === undefined) return;
  const { live } = await readSlots(app);
  const current = live === undefined ? undefined : await tableIn(app, live);
  const { tables, name } = admit(await readTables(app, current, wanted), current, wanted);
  await load(host, app, tables, live);
  await goBy(app, slot, name);
  await goBy(app, 'held', name);
}

/** Takes an app's routes off the host. */
export async function forgetRoutes(host: Host, app: string): Promise<void> {
  await host.removeFile(routesFile(app));
}
