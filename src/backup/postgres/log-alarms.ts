import { setTimeout as sleep } from 'node:timers/promises';
import type { Backups } from '#backup/engine';
import { readRecords } from '#backup/records';
import { formatBytes, formatSeconds } from '#core/units';
import { type Alarm, type PostgresSource, repositoryName } from '#protocol/backup';
import { type Generation, readGeneration } from './generation.ts';
import { heldBy, isReceiving, type Observation, observe } from './observe.ts';
import { receiverOf } from './receiver.ts';
import { lacksFull } from './watch.ts';
import { readWatched, type Watched } from './watched.ts';

/** Seconds that a server may be silent, as it is while it is started again. */
const SILENCE = 60;

/** Seconds that a repository may lag behind while the server writes. */
const LAG = 300;

/** Shares of what the slot may hold back. */
const HELD = { much: 0.5, most: 0.75 };

/** Milliseconds until a receiver that is not there is looked for once more: Docker starts it again by itself. */
const ONCE_MORE = 4000;

function receivingAlarms(
  source: PostgresSource,
  watched: Watched,
  receives: boolean | undefined,
  now: number,
): Alarm[] {
  const { state, why, since } = watched;
  const lasts = since === undefined ? 0 : (now - Date.parse(since)) / 1000;
  if (state === 'no server' && lasts < SILENCE) return [];
  if (state === 'receiving' && receives !== false) return [];
  const reason = state === 'receiving' ? `${receiverOf(source)} does not receive` : (why ?? state);
  const hint =
    state === 'no space'
      ? 'Free space on the host; receiving goes on by itself.'
      : `It is tried again every minute; \`docker logs ${receiverOf(source)}\` on the host says more.`;
  const long = since === undefined ? '' : ` for ${formatSeconds(lasts)}`;
  return [{ source: source.name, message: `The write-ahead log is not received${long}: ${reason}`, hint }];
}

function heldAlarms(source: PostgresSource, held: number, cap: number): Alarm[] {
  if (cap <= 0 || held < cap * HELD.much) return [];
  const share = `${formatBytes(held)} of ${formatBytes(cap)}`;
  const urgent = held >= cap * HELD.most ? 'Soon the server gives log up that was not copied: ' : '';
  return [
    {
      source: source.name,
      message: `${urgent}${share} of write-ahead log wait on the server to be received.`,
      hint: `Look why \`${receiverOf(source)}\` does not keep up: \`docker logs ${receiverOf(source)}\` on the host.`,
    },
  ];
}

function storeAlarms(source: PostgresSource, { stores }: Watched, now: number): Alarm[] {
  return Object.entries(stores).flatMap(([name, { covered, behind, why }]) => {
    const repository = repositoryName.parse(name);
    const lag = covered === undefined ? undefined : (now - Date.parse(covered)) / 1000;
    if (!behind || (lag !== undefined && lag < LAG)) return [];
    const long =
      lag === undefined ? 'has no write-ahead log yet' : `has no write-ahead log of the last ${formatSeconds(lag)}`;
    const reason = why === undefined ? '' : `: ${why}`;
    return [
      {
        source: source.name,
        repository,
        message: `The ${name} repository ${long}${reason}`,
        hint: 'Nothing is lost on the host meanwhile; what is missing there is shipped once the repository takes it.',
      },
    ];
  });
}

function gapAlarms(source: PostgresSource, generation: Generation | undefined, lacking: boolean): Alarm[] {
  if (generation?.gap === undefined || !lacking) return [];
  return [
    {
      source: source.name,
      message: `The write-ahead log has a gap: ${generation.gap}. Nothing after it can be restored until there is a new full copy.`,
      hint: 'One is asked for already; `deploy backup now <environment>` makes one at once.',
    },
  ];
}

function synchronousAlarms(source: PostgresSource, { synchronous, state }: Watched): Alarm[] {
  if (!source.synchronous || synchronous || state === 'no server') return [];
  return [
    {
      source: source.name,
      message:
        'Commits do not wait for the second copy, as declared: nobody receives it, and waiting would stop all writing.',
      hint: 'They wait again by themselves once the log is received.',
    },
  ];
}

/** What is short with the write-ahead log by what was seen last. Pure. */
export function logAlarms(
  source: PostgresSource,
  {
    watched,
    generation,
    lacking,
    live,
    now,
  }: {
    readonly watched: Watched;
    readonly generation: Generation | undefined;
    /** Whether the generation has no full copy. */
    readonly lacking: boolean;
    /** What is seen at this moment, where a server answers. */
    readonly live?: Pick<Observation, 'sender' | 'slot' | 'flushed' | 'cap'>;
    /** Milliseconds. */
    readonly now: number;
  },
): readonly Alarm[] {
  const held = live === undefined ? (watched.held ?? 0) : heldBy(live);
  return [
    ...receivingAlarms(source, watched, live === undefined ? undefined : isReceiving(live), now),
    ...heldAlarms(source, held, live?.cap ?? watched.cap ?? 0),
    ...storeAlarms(source, watched, now),
    ...gapAlarms(source, generation, lacking),
    ...synchronousAlarms(source, watched),
  ];
}

/** What is short with a source's write-ahead log at this moment. */
export async function alarmsOfLog({ host, settings }: Backups, source: PostgresSource): Promise<readonly Alarm[]> {
  const { app } = settings;
  const watched = await readWatched(app, source.name);
  // That nobody looks is an alarm of its own, and is none of this source's.
  if (watched === undefined) return [];
  const generation = await readGeneration(app, source.name);
  const lacking = generation !== undefined && lacksFull(generation, source.name, await readRecords(app));
  let live = await observe(host, source).catch(() => undefined);
  if (live !== undefined && !isReceiving(live)) {
    await sleep(ONCE_MORE);
    live = await observe(host, source).catch(() => undefined);
  }
  return logAlarms(source, { watched, generation, lacking, now: Date.now(), ...(live === undefined ? {} : { live }) });
}
