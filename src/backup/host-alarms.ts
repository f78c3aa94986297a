import { dueAfter } from '#core/cron-due';
import { formatBytes } from '#core/units';
import {
  type Alarm,
  type BackupJob,
  type BackupRecord,
  cronNameOf,
  type Scheduled,
  scheduleOf,
} from '#protocol/backup';
import type { Concern, Seen } from './alarms.ts';
import { mends } from './records.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

/** How long after its time a job may have left no record yet: cron's own minute, the spread, and a short run. */
const GRACE = 10 * MINUTE;

/** How long no `watch` may have ended, which begins every minute and is ended after ten. */
const UNWATCHED = 12 * MINUTE;

/** How long what is tried again every minute may fail: a network that is gone for a moment is no alarm. */
const BLIP = 5 * MINUTE;

/** How many characters of a program's last words an alarm repeats. */
const LONGEST = 400;

/** Shares of a file system that are alarming, and more so. */
const FULL = 0.9;
const FILLING = 0.8;

/** Which job, of which source. */
interface Named {
  readonly job: BackupJob;
  readonly source?: string | undefined;
}

function jobText({ job, source }: Named): string {
  return source === undefined ? `The job ${job}` : `The job ${job} of ${source}`;
}

function aboutSource({ source }: { readonly source?: string | undefined }): { source?: string } {
  return source === undefined ? {} : { source };
}

function momentOf(milliseconds: number): string {
  return `${new Date(milliseconds).toISOString().slice(0, 16).replace('T', ' ')} UTC`;
}

/** Whether cron will start what is due. */
export const cronAlarms: Concern = ({ settings, cron, watched, now, since, atWork }) => {
  const up = `\`deploy up ${settings.environment}\``;
  const missing = cron.missing.map(
    (scheduled): Alarm => ({
      ...aboutSource(scheduled),
      message: `${jobText(scheduled)} is not in /etc/cron.d any more (${cronNameOf(settings.app, scheduled)}).`,
      hint: `Bring it back with ${up}.`,
    }),
  );
  if (!cron.runs) {
    const hint = 'On the host: `systemctl enable --now cron`, then `journalctl --unit=cron`.';
    return [{ message: 'cron does not run on the host: nothing is backed up by itself.', hint }, ...missing];
  }
  const last = Math.max(watched ?? 0, since);
  const unwatched = cron.missing.every(({ job }) => job !== 'watch') && now - last > UNWATCHED;
  if (!unwatched || atWork.has(cronNameOf(settings.app, { job: 'watch' }))) return missing;
  return [
    {
      message: `Nobody has looked after the backups since ${momentOf(last)}, which cron should begin every minute.`,
      hint: 'On the host: `journalctl --identifier=slipway-backup` and `journalctl --unit=cron` say why.',
    },
    ...missing,
  ];
};

/** The newest failure of each source and repository that no success has followed, with when it failed first. */
function failuresOf(
  own: readonly BackupRecord[],
  { settings }: Seen,
): readonly { last: BackupRecord; first: number }[] {
  const found = new Map<string, { last: BackupRecord; first: number }>();
  for (const [index, record] of own.entries()) {
    if (record.result === 'done') continue;
    const { source, repository } = record;
    if (source !== undefined && !settings.sources.some(({ name }) => name === source)) continue;
    if (repository !== undefined && !settings.repositories.some(({ name }) => name === repository)) continue;
    if (own.slice(index + 1).some((later) => mends(later, record))) continue;
    const key = JSON.stringify([source, repository]);
    found.set(key, { last: record, first: found.get(key)?.first ?? Date.parse(record.at) });
  }
  return [...found.values()];
}

function failureAlarms(seen: Seen, job: Named, own: readonly BackupRecord[]): readonly Alarm[] {
  const { environment } = seen.settings;
  return failuresOf(own, seen)
    .filter(({ first }) => job.job !== 'watch' || seen.now - first > BLIP)
    .map(({ last, first }) => {
      const good = own.findLast((record) => mends(record, last));
      const where = last.repository === undefined ? '' : `, ${last.repository} repository,`;
      const before =
        good === undefined ? 'It has never succeeded' : `It succeeded last ${momentOf(Date.parse(good.at))}`;
      return {
        ...aboutSource(last),
        ...(last.repository === undefined ? {} : { repository: last.repository }),
        message: `${jobText(last)}${where} has failed since ${momentOf(first)}: ${(last.why ?? '').slice(0, LONGEST)}\n${before}.`,
        hint:
          last.job === 'watch'
            ? `Mend what it names; it is tried again every minute, and \`deploy backup status ${environment}\` tells.`
            : `Mend what it names, then \`${again(seen, last)}\`.`,
      };
    });
}

/** The command that does a job now. */
function again({ settings }: Seen, { job, source }: Named): string {
  const only = source === undefined ? '' : ` --only ${source}`;
  if (job === 'check') return `deploy backup verify ${settings.environment}${only}`;
  if (job === 'drill') return `deploy drill ${settings.environment}`;
  return `deploy backup now ${settings.environment}${only}`;
}

function lateAlarms(seen: Seen, scheduled: Scheduled, own: readonly BackupRecord[]): readonly Alarm[] {
  const { settings, now, since, atWork } = seen;
  if (atWork.has(cronNameOf(settings.app, scheduled))) return [];
  // What ran while it was due has kept cron's own run out; and a clock that was ahead has left records from the future.
  const ends = own.map(({ at, duration }) => Date.parse(at) + duration * 1000).filter((end) => end < now + HOUR);
  const due = dueAfter(scheduled.schedule, new Date(Math.max(Math.min(since, now), ...ends)))?.getTime();
  if (due === undefined || now - due < GRACE) return [];
  return [
    {
      ...aboutSource(scheduled),
      message: `${jobText(scheduled)} was due ${momentOf(due)} and did not run to its end.`,
      hint: `Make up for it with \`${again(seen, scheduled)}\`; \`journalctl --unit=cron\` on the host says why.`,
    },
  ];
}

/** Whether what was due has run, and succeeded. Of drills it says only whether they ran: they judge themselves. */
export const runAlarms: Concern = (seen) =>
  scheduleOf(seen.settings).flatMap((scheduled) => {
    const { job, source } = scheduled;
    const own = seen.records.filter(
      (record) => record.job === job && (source === undefined || record.source === source),
    );
    const failed = job === 'drill' ? [] : failureAlarms(seen, scheduled, own);
    return failed.length > 0 || job === 'watch' ? failed : lateAlarms(seen, scheduled, own);
  });

/** Whether there is room for more. */
export const spaceAlarms: Concern = ({ spaces }) =>
  spaces.flatMap(({ path, totalBytes, freeBytes }) => {
    const used = 1 - freeBytes / totalBytes;
    if (used < FILLING) return [];
    const free = `${formatBytes(freeBytes)} of ${formatBytes(totalBytes)} are free`;
    const hint =
      'Free some space, shorten `backups.keep`, or take `backups.local: false` where there is a repository off the host.';
    return [
      {
        message:
          used < FULL
            ? `The disk with ${path} is filling up: ${free}.`
            : `The disk with ${path} is nearly full, backups will fail soon: ${free}.`,
        hint,
      },
    ];
  });

/** Whether copies are anywhere but here. */
export const offsiteAlarms: Concern = ({ settings: { repositories, environment } }) =>
  repositories.some(({ name }) => name === 'offsite')
    ? []
    : [
        {
          message: 'All copies are on the host itself: what takes the host takes them too.',
          hint: `Name a repository off the host in \`backups.repository\`, then \`deploy up ${environment}\`.`,
        },
      ];

/** Whether somebody could read the copies if the host were gone. */
export const escrowAlarms: Concern = ({ settings: { environment }, escrow }) =>
  escrow !== undefined
    ? []
    : [
        {
          message: 'Nobody has proven to have a copy of the key: without the host no copy can be opened.',
          hint: `\`deploy backup key show ${environment}\` prints it, \`deploy backup key verify ${environment}\` proves your copy.`,
        },
      ];
