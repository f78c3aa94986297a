import { access, stat } from 'node:fs/promises';
import { alarmsOf, type Seen, type Space } from '#backup/alarms';
import { readReports } from '#backup/drill/reports';
import type { Backups } from '#backup/engine';
import { engineOf } from '#backup/engines';
import { readEscrow } from '#backup/key';
import { settingsPath, stateFolder, watchedPath } from '#backup/places';
import { readRecords } from '#backup/records';
import { readSpace } from '#backup/room';
import { settingsOf } from '#backup/settings';
import { openStores } from '#backup/store/store';
import { asDeployError } from '#core/errors';
import { type Alarm, type BackupSettings, cronNameOf, scheduleOf } from '#protocol/backup';
import type { Host } from '#resources/resource';
import { isLocked } from './lock.ts';

async function modified(path: string): Promise<number | undefined> {
  return (await stat(path).catch(() => undefined))?.mtimeMs;
}

async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/** The file systems with something of the backups, each once. */
async function spacesOf({ app, repositories, sources }: BackupSettings): Promise<readonly Space[]> {
  const paths = [
    stateFolder(app),
    ...repositories.flatMap(({ url }) => (url.startsWith('/') ? [url] : [])),
    ...sources.flatMap((source) => ('storage' in source ? [source.storage] : [])),
  ];
  const found = new Map<number, Space>();
  for (const path of paths) {
    const there = await stat(path).catch(() => undefined);
    if (there === undefined || found.has(there.dev)) continue;
    const { free, total } = await readSpace(path);
    found.set(there.dev, { path, totalBytes: total, freeBytes: free });
  }
  return [...found.values()];
}

/** Everything that the host itself knows of an app's backups. */
async function look(host: Host, settings: BackupSettings): Promise<Seen> {
  const { app } = settings;
  const scheduled = scheduleOf(settings);
  const names = scheduled.map((one) => cronNameOf(app, one));
  const [since, watched, records, drills, escrow, spaces, cron, there, locked] = await Promise.all([
    modified(settingsPath(app)),
    modified(watchedPath(app)),
    readRecords(app),
    readReports(app),
    readEscrow(app),
    spacesOf(settings),
    host.run(['systemctl', 'is-active', '--quiet', 'cron.service']),
    Promise.all(names.map((name) => isThere(`/etc/cron.d/${name}`))),
    Promise.all(names.map(isLocked)),
  ]);
  return {
    settings,
    now: Date.now(),
    since: since ?? 0,
    records,
    watched,
    atWork: new Set(names.filter((_name, index) => locked[index])),
    cron: { runs: cron.exitCode === 0, missing: scheduled.filter((_one, index) => !there[index]) },
    spaces,
    escrow,
    drills,
  };
}

function cannotTell(what: string, thrown: unknown): Alarm {
  const { message, hint } = asDeployError(thrown);
  return { message: `${what} cannot be told: ${message}`, hint };
}

/** What the sources are short of; that it could not be told is short too. */
async function ofSources(host: Host, settings: BackupSettings): Promise<readonly Alarm[]> {
  try {
    const backups: Backups = { host, settings, stores: await openStores(host, settings) };
    const all = await Promise.all(
      settings.sources.map(async (source): Promise<readonly Alarm[]> => {
        try {
          return (await engineOf(source).alarms?.(backups, source)) ?? [];
        } catch (thrown) {
          return [{ source: source.name, ...cannotTell(`How ${source.name} stands`, thrown) }];
        }
      }),
    );
    return all.flat();
  } catch (thrown) {
    return [cannotTell('How the backups stand', thrown)];
  }
}

/** How an app's backups are doing, by what the host itself knows: no repository is asked. */
interface Health {
  readonly seen: Seen;
  /** One for each thing that is short; what a person is told goes through `oncePerRepository`. */
  readonly alarms: readonly Alarm[];
}

/** Looks how an app's backups are doing; `no-backups` where none are declared. */
export async function healthOf(host: Host, app: string): Promise<Health> {
  const settings = await settingsOf(app);
  const [seen, own] = await Promise.all([look(host, settings), ofSources(host, settings)]);
  const alarms = [...own, ...alarmsOf(seen)].map(({ hint, ...alarm }) => ({
    ...alarm,
    hint: hint.replaceAll('<environment>', settings.environment),
  }));
  return { seen, alarms };
}
