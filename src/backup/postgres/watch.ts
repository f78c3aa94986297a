import { setTimeout as sleep } from 'node:timers/promises';
import type { Backups, Done } from '#backup/engine';
import { readRecords } from '#backup/records';
import type { Store } from '#backup/store/store';
import { asDeployError } from '#core/errors';
import { RUNNER } from '#core/runner';
import type { BackupRecord, PostgresSource } from '#protocol/backup';
import { beginGeneration, beginOf, type Generation, readGeneration } from './generation.ts';
import { untilReceived } from './observe.ts';
import { type Reception, receive } from './receive.ts';
import { contained, receiverOf, removeReceiver } from './receiver.ts';
import { type Delivery, shipTo, tidy } from './ship.ts';
import { type Coverage, forgetTicks, readWatched, standingOf, tick, type Watched, writeWatched } from './watched.ts';

/** Seconds of a minute that a look may last where commits wait for the receiver, and between two glances meanwhile. */
const ATTENTION = { most: 50, every: 2 };

/** Seconds between two looks while a repository takes its time. */
const MEANWHILE = 15;

/** Milliseconds: how long a full copy that was asked for has until it is asked for again, and a first one until it is. */
const PATIENCE = { again: 30 * 60_000, first: 2 * 60_000 };

/** What shipping to a repository came to; `busy` where another process is at it. */
type Outcome = { readonly store: Store } & (
  | { readonly delivery: Delivery }
  | { readonly busy: true }
  | { readonly why: string }
);

async function attempt(backups: Backups, source: PostgresSource, store: Store, reception: Reception): Promise<Outcome> {
  try {
    const received = reception.state === 'receiving' ? reception.seen?.sender?.received : undefined;
    const delivery = await shipTo(backups, source, store, received);
    return delivery === undefined ? { store, busy: true } : { store, delivery };
  } catch (error) {
    return { store, why: asDeployError(error).message };
  }
}

function coverageOf(outcome: Outcome, { seen }: Reception, before: Coverage | undefined): Coverage {
  const covered = before?.covered === undefined ? {} : { covered: before.covered };
  if ('busy' in outcome) return before ?? { behind: false };
  if ('why' in outcome) return { ...covered, behind: true, why: outcome.why };
  // Nobody tells where the log of a silent server stands; all that was received is there.
  if (seen === undefined) return { ...covered, behind: false };
  if (outcome.delivery.reaches < seen.flushed) return { ...covered, behind: true };
  return { covered: new Date(seen.time * 1000).toISOString(), behind: false };
}

/** Whether a generation has no full copy that was begun in it, so that nothing of it can be restored. Pure. */
export function lacksFull(
  generation: Pick<Generation, 'generation'>,
  source: string,
  records: readonly BackupRecord[],
): boolean {
  const begun = beginOf(generation);
  // Where nothing relative could be taken, the job for it has made a full copy.
  return !records.some(
    ({ job, details, source: of, result, at }) =>
      (job === 'full' || details?.kind === 'full') && of === source && result === 'done' && Date.parse(at) >= begun,
  );
}

/** Has a full copy made where the present generation has none; resolves with when it was asked for last. */
async function askForFull(
  { host, settings: { app } }: Backups,
  source: PostgresSource,
  generation: Generation,
  asked: string | undefined,
): Promise<string | undefined> {
  const now = Date.now();
  const begun = beginOf(generation);
  const askedHere = asked !== undefined && Date.parse(asked) >= begun ? Date.parse(asked) : undefined;
  const due =
    askedHere === undefined ? begun + (generation.gap === undefined ? PATIENCE.first : 0) : askedHere + PATIENCE.again;
  if (now < due || !lacksFull(generation, source.name, await readRecords(app))) return asked;
  host.say(`${source.name} has no full copy since its log began anew: making one`);
  const unit = `slipway-backup-${app}-${source.name}-full`.replaceAll(/[^A-Za-z0-9_-]/g, '_');
  const limits = ['--property=RuntimeMaxSec=12h', '--property=TimeoutStopSec=1m'];
  const { exitCode } = await host.run([
    ...['systemd-run', '--quiet', '--collect', '--no-block', `--unit=${unit}`, ...limits],
    ...[RUNNER, 'backup', 'full', app, source.name, '--now'],
  ]);
  // One that was asked for before may still be at work, and belongs to what came before.
  return exitCode === 0 ? new Date(now).toISOString() : asked;
}

/** What tells one life of a container from the next. */
async function lifeOf({ host }: Backups, source: PostgresSource): Promise<string> {
  const both = await Promise.all([contained(host, source.container), contained(host, receiverOf(source))]);
  return JSON.stringify(both);
}

/** Looks again and again until work is done; where commits wait for the receiver, until the minute is nearly over. */
async function attend(
  backups: Backups,
  source: PostgresSource,
  first: Reception,
  work: Promise<unknown>,
): Promise<Reception> {
  const end = Date.now() + (source.synchronous ? ATTENTION.most * 1000 : 0);
  let reception = first;
  let life = await lifeOf(backups, source);
  let working = true;
  const over = work.finally(() => {
    working = false;
  });
  while (working || Date.now() < end) {
    // A timer that nobody waits for any more would keep the process.
    const glance = new AbortController();
    const seconds = source.synchronous ? ATTENTION.every : MEANWHILE;
    const pause = sleep(seconds * 1000, undefined, { signal: glance.signal }).catch(() => undefined);
    await (working ? Promise.race([over, pause]) : pause);
    glance.abort();
    if (!working && Date.now() >= end) break;
    // Uninstalled meanwhile: it must not come back.
    if ((await readGeneration(backups.settings.app, source.name)) === undefined) return reception;
    const now = await lifeOf(backups, source);
    if (now === life && reception.state === 'receiving') continue;
    const next = await receive(backups, source, { stopped: reception.state === 'no space' });
    reception = { ...next, gaps: [...reception.gaps, ...next.gaps] };
    life = await lifeOf(backups, source);
  }
  return reception;
}

/** A new generation where log was lost between the archive and a repository: what comes after it must not follow it. */
async function mendHoles(
  backups: Backups,
  source: PostgresSource,
  reception: Reception,
  outcomes: readonly Outcome[],
): Promise<Reception> {
  const hole = outcomes.flatMap((one) =>
    'delivery' in one && one.delivery.hole !== undefined ? [one.delivery.hole] : [],
  )[0];
  const { generation } = reception;
  if (hole === undefined || generation === undefined) return reception;
  await removeReceiver(backups.host, source);
  await beginGeneration(backups.settings.app, source.name, generation, hole);
  const next = await receive(backups, source);
  return { ...next, gaps: [...reception.gaps, hole, ...next.gaps] };
}

function told(source: PostgresSource, reception: Reception, outcomes: readonly Outcome[]): readonly Done[] {
  const { gaps, generation, state, why } = reception;
  return [
    ...gaps.map((gap) => ({
      why: `The write-ahead log of ${source.name} has a gap: ${gap}`,
      details: { source: source.name, gap, generation: generation?.generation },
    })),
    state === 'receiving' ? {} : { why: `The write-ahead log of ${source.name} is not received: ${why ?? state}` },
    ...outcomes.map((one) => ({ repository: one.store.name, ...('why' in one ? { why: one.why } : {}) })),
  ];
}

/** Milliseconds for which a look waits until the receiver has told what it has. */
const ACKNOWLEDGED = 3000;

/** A reception once the receiver has told of what the server had written when it was looked at. */
async function acknowledged({ host }: Backups, source: PostgresSource, reception: Reception): Promise<Reception> {
  const { seen, state } = reception;
  const sender = seen?.sender;
  if (state !== 'receiving' || seen === undefined || sender === undefined) return reception;
  if (sender.received >= seen.flushed) return reception;
  const received = await untilReceived(host, source, seen.flushed, ACKNOWLEDGED);
  return received === undefined ? reception : { ...reception, seen: { ...seen, sender: { ...sender, received } } };
}

/** Looks after a source's write-ahead log: that it is received, and shipped to every repository. */
export async function watch(backups: Backups, source: PostgresSource): Promise<readonly Done[]> {
  const { app, keep } = backups.settings;
  const before = await readWatched(app, source.name);
  const first = await acknowledged(
    backups,
    source,
    await receive(backups, source, { stopped: before?.state === 'no space' }),
  );
  if (first.seen !== undefined) await tick(app, source.name, first.seen, first.generation?.generation);
  const note = (reception: Reception, stores: Watched['stores'], asked?: string) =>
    writeWatched(app, source.name, {
      ...standingOf(reception, before, new Date().toISOString()),
      ...(asked === undefined ? {} : { asked }),
      stores,
    });
  // A repository may take its time; how receiving stands is known meanwhile.
  await note(first, before?.stores ?? {});
  const shipping = Promise.all(backups.stores.map((store) => attempt(backups, source, store, first)));
  const attended = await attend(backups, source, first, shipping);
  const outcomes = await shipping;
  if ((await readGeneration(app, source.name)) === undefined) return [];
  const reception = await mendHoles(backups, source, attended, outcomes);
  await tidy(backups, source);
  await forgetTicks(app, source.name, keep, Date.now());
  const { generation } = reception;
  const asked =
    reception.state === 'receiving' && generation !== undefined
      ? await askForFull(backups, source, generation, before?.asked)
      : before?.asked;
  const stores = Object.fromEntries(
    outcomes.map((one) => [one.store.name, coverageOf(one, first, before?.stores[one.store.name])]),
  );
  await note(reception, stores, asked);
  return told(source, reception, outcomes);
}
