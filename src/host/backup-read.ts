import { oncePerRepository } from '#backup/alarms';
import type { Backups } from '#backup/engine';
import { engineOf } from '#backup/engines';
import { readRestorePoints } from '#backup/restore-points';
import { settingsOf } from '#backup/settings';
import { openStores, type Store } from '#backup/store/store';
import { asDeployError } from '#core/errors';
import type { Alarm, BackupRecord, BackupRequest, RestorePoint, Source, Standing } from '#protocol/backup';
import type { EventBody } from '#protocol/event';
import type { Facts } from '#protocol/facts';
import { sourceNamed } from './backup.ts';
import { healthOf } from './backup-look.ts';
import { createHost } from './machine.ts';

type Asked<Verb extends BackupRequest['verb']> = Extract<BackupRequest, { verb: Verb }>;
type Say = (body: EventBody) => void;

/** Asks every repository about every source; one that does not answer is told of, and keeps nobody from the others. */
async function inAll<T>(
  { settings, stores }: Backups,
  sources: readonly Source[],
  ask: (source: Source, store: Store) => Promise<T>,
  unanswered: (store: Store, why: string) => void,
): Promise<readonly T[]> {
  const all = await Promise.all(
    stores.map(async (store) => {
      const answers: T[] = [];
      try {
        for (const source of settings.sources.filter((one) => sources.includes(one))) {
          answers.push(await ask(source, store));
        }
      } catch (thrown) {
        unanswered(store, asDeployError(thrown).message);
      }
      return answers;
    }),
  );
  return all.flat();
}

/** The last run of each job for each source in each repository. */
function lastRuns(records: readonly BackupRecord[]): readonly BackupRecord[] {
  const found = new Map(records.map((one) => [JSON.stringify([one.job, one.source, one.repository]), one]));
  return [...found.values()];
}

async function list(backups: Backups, { app, only }: Asked<'backup-list'>, say: Say): Promise<void> {
  const { sources } = backups.settings;
  const wanted = only === undefined ? sources : [sourceNamed(sources, only)];
  const there = await inAll(
    backups,
    wanted,
    async (source, store) => ({
      copies: await engineOf(source).copies(backups, source, store),
      standing: await engineOf(source).stands(backups, source, store),
    }),
    ({ name }, why) => say({ type: 'warning', message: `The ${name} repository does not answer: ${why}` }),
  );
  const standings = there.map(({ standing }) => standing);
  // What was before the oldest copy cannot be restored any more.
  const isWithin = ({ source, at }: RestorePoint) =>
    standings.some((one) => one.source === source && one.oldest !== undefined && one.oldest <= at);
  const points = (await readRestorePoints(app)).filter(isWithin);
  say({ type: 'backup.listed', app, standings, copies: there.flatMap(({ copies }) => copies), points });
}

async function status(backups: Backups, { app }: Asked<'backup-status'>, say: Say): Promise<void> {
  const { host, settings } = backups;
  const silent: Alarm[] = [];
  const [{ seen, alarms }, standings] = await Promise.all([
    healthOf(host, app),
    inAll<Standing>(
      backups,
      settings.sources,
      (source, store) => engineOf(source).stands(backups, source, store),
      ({ name }, why) =>
        silent.push({
          repository: name,
          message: `The ${name} repository does not answer: ${why}`,
          hint: 'Look whether it is up and lets the host in; what is there cannot be told.',
        }),
    ),
  ]);
  const { records, drills, escrow } = seen;
  say({
    type: 'backup.stands',
    app,
    standings: [...standings],
    alarms: [...oncePerRepository([...silent, ...alarms], settings.environment)],
    runs: [...lastRuns(records)],
    drills: [...drills],
    ...(escrow === undefined ? {} : { escrow }),
  });
}

/** Tells what copies there are, or how the backups stand; changes nothing, and so takes no lock and keeps no log. */
export async function readBackups(
  request: Asked<'backup-list' | 'backup-status'>,
  facts: Facts,
  tell: (line: string) => void,
): Promise<number> {
  const started = performance.now();
  const say: Say = (body) => tell(`${JSON.stringify({ at: new Date().toISOString(), ...body })}\n`);
  const host = createHost(facts, { say: () => undefined, warn: (message) => say({ type: 'warning', message }) });
  const settings = await settingsOf(request.app);
  const backups: Backups = { host, settings, stores: await openStores(host, settings) };
  await (request.verb === 'backup-list' ? list(backups, request, say) : status(backups, request, say));
  const duration = (performance.now() - started) / 1000;
  say({ type: 'operation.finished', changed: 0, unchanged: 0, removed: 0, duration });
  return 0;
}
