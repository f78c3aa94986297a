import type { Backups } from '#backup/engine';
import { readRecords } from '#backup/records';
import { formatBytes } from '#core/units';
import type { Alarm, BackupRecord, PostgresSource } from '#protocol/backup';
import { beginOf, type Generation, readGeneration } from './generation.ts';
import { imageOf } from './image.ts';
import { readCluster } from './server.ts';
import { lacksFull } from './watch.ts';

/** The share of the one before that a full copy is at least, where nothing has gone wrong. */
const SHRUNK = 0.5;

/** Milliseconds that a first full copy may take to come. */
const FIRST = 3 * 3_600_000;

/** Whether a record is that of a full copy: an incremental that was not possible is one too. */
function isFull({ result, details }: BackupRecord): boolean {
  return result === 'done' && details?.kind === 'full';
}

function shrunkAlarms(source: PostgresSource, fulls: readonly BackupRecord[], hint: string): readonly Alarm[] {
  const of = new Map<string | undefined, readonly BackupRecord[]>();
  for (const one of fulls) of.set(one.repository, [...(of.get(one.repository) ?? []), one]);
  return [...of].flatMap(([repository, all]) => {
    const [before, last] = all.slice(-2).map(({ bytes }) => bytes ?? 0);
    if (before === undefined || last === undefined || last >= before * SHRUNK) return [];
    const message = `The last full copy in the ${repository} repository has ${formatBytes(last)}, the one before had ${formatBytes(before)}.`;
    return [{ source: source.name, message, hint: `See that no data is gone from ${source.name}. ${hint}` }];
  });
}

/** What is short with the copies of a cluster by what was recorded, and by what runs now. Pure. */
export function copyAlarms(
  source: PostgresSource,
  {
    environment,
    records,
    generation,
    running,
    now,
  }: {
    readonly environment: string;
    readonly records: readonly BackupRecord[];
    readonly generation: Generation | undefined;
    /** Left out where no server answers. */
    readonly running?: { readonly image: string; readonly major: number };
    /** Milliseconds. */
    readonly now: number;
  },
): readonly Alarm[] {
  const fulls = records.filter((one) => one.source === source.name && isFull(one));
  const again = `\`deploy backup now ${environment} --only ${source.name}\` makes a new one.`;
  const { image, version } = fulls.at(-1)?.details ?? {};
  const major = Math.floor(Number(version) / 10_000);
  const lacking =
    generation !== undefined &&
    generation.gap === undefined &&
    now - beginOf(generation) > FIRST &&
    lacksFull(generation, source.name, records);
  const changed =
    running === undefined || fulls.length === 0 || (running.image === image && running.major === major)
      ? []
      : running.major === major
        ? [`runs another image than its last full copy was taken with, ${String(image)}.`]
        : [`is PostgreSQL ${running.major}; its last full copy is of ${major}, and no other version reads it.`];
  return [
    ...(lacking ? [{ source: source.name, message: 'There is no full copy to restore its log on.', hint: again }] : []),
    ...changed.map((what) => ({ source: source.name, message: `${source.name} ${what}`, hint: again })),
    ...shrunkAlarms(source, fulls, again),
  ];
}

/** What is short with the copies of a cluster at this moment. */
export async function alarmsOfCopies({ host, settings }: Backups, source: PostgresSource): Promise<readonly Alarm[]> {
  const { app, environment } = settings;
  const running = await Promise.all([imageOf(host, source.container), readCluster(host, source)])
    .then(([{ digest }, { major }]) => ({ image: digest, major }))
    .catch(() => undefined);
  const [records, generation] = await Promise.all([readRecords(app), readGeneration(app, source.name)]);
  return copyAlarms(source, {
    ...{ environment, records, generation, now: Date.now() },
    ...(running === undefined ? {} : { running }),
  });
}
