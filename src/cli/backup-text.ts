import { wrapped } from '#cli/fit';
import type { Paint } from '#cli/paint';
import { ago } from '#cli/status-text';
import { counted, formatBytes, formatSeconds } from '#core/units';
import type { Alarm, BackupRecord, Copy, DrillReport, RestorePoint, Standing } from '#protocol/backup';
import type { Event } from '#protocol/event';

type Stands = Extract<Event, { type: 'backup.stands' }>;
type Listed = Extract<Event, { type: 'backup.listed' }>;

/** Columns of what a line is about. */
const LABEL = 14;

/** Characters of a snapshot's id that tell it from the others, as restic shows it. */
const ID = 8;

/** A moment as a person compares it: `2026-11-21 14:02:31`, by UTC. */
function moment(iso: string): string {
  return new Date(iso).toISOString().slice(0, 19).replace('T', ' ');
}

function since(iso: string, now: number): string {
  return `${ago(now - Date.parse(iso))} ago`;
}

/** Up to when, and how far back, a source can be restored: what one has to know at night. */
function standingText({ type, oldest, newest, copies, bytes }: Standing, paint: Paint, now: number): string {
  if (newest === undefined || oldest === undefined) return paint.red('nothing that could be restored');
  const much = paint.dim(`  ${counted(copies, 'copy')}, ${formatBytes(bytes)}`);
  const latest = `${paint.bold(moment(newest))} UTC, ${since(newest, now)}`;
  const back = copies === 1 && type !== 'postgres' ? '' : `; back to ${moment(oldest)}`;
  return `${type === 'postgres' ? 'every moment up to' : 'as it was'} ${latest}${back}${much}`;
}

function standingLines(standings: readonly Standing[], paint: Paint, now: number): string[] {
  const width = Math.max(LABEL, ...standings.map(({ source }) => source.length + 2));
  let last = '';
  return standings
    .toSorted((one, other) => (one.source < other.source ? -1 : one.source > other.source ? 1 : 0))
    .map((standing) => {
      const { source, repository } = standing;
      const name = source === last ? '' : source;
      last = source;
      return `  ${name.padEnd(width)}${repository.padEnd(8)} ${standingText(standing, paint, now)}`;
    });
}

/** Alarms as a person reads them: what is wrong, and what to type next. */
export function alarmLines(alarms: readonly Alarm[], paint: Paint, columns: number): string[] {
  return alarms.flatMap(({ message, hint }) => {
    const [first = '', ...more] = message.split('\n');
    return [
      paint.red(wrapped(`  ✗ ${first}`, columns, '    ')),
      ...more.map((line) => wrapped(`    ${line}`, columns, '    ')),
      `    ${paint.cyan('→')} ${wrapped(hint, columns - 6, '      ')}`,
    ];
  });
}

function runsText(runs: readonly BackupRecord[], now: number): string {
  const newest = new Map(
    runs
      .filter(({ job }) => job !== 'watch')
      .toSorted((one, other) => Date.parse(one.at) - Date.parse(other.at))
      .map((run) => [[run.job, run.source].filter((word) => word !== undefined).join(' '), run]),
  );
  return [...newest]
    .map(([name, { at, result }]) => `${name} ${since(at, now)}${result === 'done' ? '' : ` (${result})`}`)
    .join(', ');
}

function drillText({ at, source, verdict, why, reached, rto, rpo }: DrillReport, paint: Paint, now: number): string {
  const colour = verdict === 'passed' ? paint.green : paint.red;
  const figures = [
    ...(reached === undefined ? [] : [`${moment(reached)} UTC restored`]),
    ...(rto === undefined ? [] : [`in ${formatSeconds(rto)}`]),
    ...(rpo === undefined ? [] : [`${formatSeconds(rpo)} of data would have been lost`]),
  ];
  const found = why?.split('\n')[0] ?? figures.join(', ');
  return `${colour(verdict)} ${since(at, now)}: ${source}${found === '' ? '' : `, ${found}`}`;
}

/** How the backups of an app on one host stand, as a person reads it at three in the morning. */
export function backupStatusText(stands: Stands, paint: Paint, columns: number): string[] {
  const { standings, alarms, runs, drills, escrow } = stands;
  const now = Date.parse(stands.at);
  const line = (label: string, text: string) => `  ${label.padEnd(LABEL)}${text}`;
  const newest = [...new Map(drills.map((report) => [report.source, report])).values()];
  const ran = runsText(runs, now);
  return [
    ...standingLines(standings, paint, now),
    ...(ran === '' ? [] : [wrapped(line('last runs', ran), columns, ' '.repeat(LABEL + 2))]),
    ...newest.map((report) => line('drill', drillText(report, paint, now))),
    ...(newest.length === 0 ? [line('drill', paint.dim('none yet'))] : []),
    ...(escrow === undefined ? [] : [line('key', `a copy was proven ${escrow.slice(0, 10)}`)]),
    ...alarmLines(alarms, paint, columns),
    alarms.length === 0
      ? `  ${paint.green('✓')} ${paint.bold('all is well')}`
      : `  ${paint.red('✗')} ${paint.bold(counted(alarms.length, 'alarm'))}${paint.dim('  backup-alarm; more with `deploy explain backup-alarm`')}`,
  ];
}

function copyLine({ at, kind, bytes, repository, id, complete }: Copy, paint: Paint): string {
  const size = formatBytes(bytes).padStart(8);
  const lacking = complete ? '' : paint.yellow('  not complete');
  return `    ${moment(at)}  ${kind.padEnd(12)}${size}  ${repository.padEnd(8)}  ${paint.dim(id.slice(0, ID))}${lacking}`;
}

function pointLine({ at, name, tag }: RestorePoint, paint: Paint): string {
  return `    ${moment(at)}  before ${tag}  ${paint.dim(`--to '${name}'`)}`;
}

/** What can be restored, and from which copies, source by source. */
export function backupListText({ at, standings, copies, points }: Listed, paint: Paint): string[] {
  const now = Date.parse(at);
  const sources = [...new Set([...standings, ...copies].map(({ source }) => source))].sort();
  return sources.flatMap((source) => [
    ...standingLines(
      standings.filter((standing) => standing.source === source),
      paint,
      now,
    ),
    ...[
      ...copies.map((copy) => ({ ...copy, line: copyLine(copy, paint) })),
      ...points.map((point) => ({ ...point, line: pointLine(point, paint) })),
    ]
      .filter((one) => one.source === source)
      .toSorted((one, other) => Date.parse(one.at) - Date.parse(other.at))
      .map(({ line }) => line),
  ]);
}
