import type { Alarm, BackupRecord, BackupSettings, DrillReport, Scheduled } from '#protocol/backup';
import { drillAlarms } from './drill/alarms.ts';
import { cronAlarms, escrowAlarms, offsiteAlarms, runAlarms, spaceAlarms } from './host-alarms.ts';

/** How full a file system is on which something of the backups lies. */
export interface Space {
  /** What lies there. */
  readonly path: string;
  readonly totalBytes: number;
  readonly freeBytes: number;
}

/** What a host knows of an app's backups without asking a repository. */
export interface Seen {
  readonly settings: BackupSettings;
  /** Milliseconds. */
  readonly now: number;
  /** Since when these settings are on the host; nothing was due before. Milliseconds. */
  readonly since: number;
  /** Oldest first. */
  readonly records: readonly BackupRecord[];
  /** When `watch` ended last. Milliseconds. */
  readonly watched: number | undefined;
  /** The jobs that run at this moment, as cron's entries are called. */
  readonly atWork: ReadonlySet<string>;
  readonly cron: { readonly runs: boolean; readonly missing: readonly Scheduled[] };
  readonly spaces: readonly Space[];
  /** When somebody has proven to have a copy of the key (ISO 8601). */
  readonly escrow: string | undefined;
  /** Oldest first. */
  readonly drills: readonly DrillReport[];
}

/** What is short by one concern. An alarm that is no fault teaches people not to look. */
export type Concern = (seen: Seen) => readonly Alarm[];

/** Every concern that does not belong to one type of source; those are in its engine. */
const CONCERNS: readonly Concern[] = [drillAlarms, cronAlarms, runAlarms, spaceAlarms, offsiteAlarms, escrowAlarms];

/** A repository that fails is mended once, however many sources and jobs it fails: its alarms are told as one. */
export function oncePerRepository(alarms: readonly Alarm[], environment: string): readonly Alarm[] {
  return alarms.flatMap((alarm, index) => {
    const { repository } = alarm;
    if (repository === undefined) return [alarm];
    const all = alarms.filter((one) => one.repository === repository);
    if (all.length === 1) return [alarm];
    if (alarms.findIndex((one) => one.repository === repository) !== index) return [];
    const sources = [...new Set(all.flatMap(({ source }) => source ?? []))].sort();
    const lines = new Set(all.flatMap(({ message }) => message.split('\n')));
    const about = sources.length === 0 ? '' : `\nIt concerns ${sources.join(', ')}.`;
    return [
      {
        ...(sources.length === 1 ? { source: sources[0] } : {}),
        repository,
        message: `The ${repository} repository is short of what it should have.${about}\n${[...lines].join('\n')}`,
        hint: `Mend what it names; each job makes up for it with its next run, \`deploy backup now ${environment}\` at once.`,
      },
    ];
  });
}

/** Everything that is short, what matters most first. */
export function alarmsOf(seen: Seen): readonly Alarm[] {
  return CONCERNS.flatMap((concern) => concern(seen));
}
