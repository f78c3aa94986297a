import type { Paint } from '#cli/paint';
import { formatBytes } from '#core/units';
import type { Event } from '#protocol/event';
import type { Canary } from '#protocol/release';
import type { RunningContainer } from '#protocol/running';

type Status = Extract<Event, { type: 'status.read' }>;

/** Columns of what a line is about. */
const LABEL = 14;

/** Days before its end at which a certificate should have been renewed long since. */
const SOON = 14;

/** Share of the disk that should stay free: below it a release or a backup may not fit any more. */
const SCARCE = 0.1;

/** How long ago, or until, in one figure: `3 min`, `5 h`, `12 d`. */
export function ago(milliseconds: number): string {
  const minutes = Math.abs(milliseconds) / 60_000;
  if (minutes < 1) return `${Math.round(minutes * 60)} s`;
  if (minutes < 120) return `${Math.floor(minutes)} min`;
  return minutes < 48 * 60 ? `${Math.floor(minutes / 60)} h` : `${Math.floor(minutes / 1440)} d`;
}

/** How many of the clients a canary has, and for how long. */
export function shareText({ percent, since, paused }: Canary, now: number): string {
  return `${percent} % of the clients for ${ago(now - Date.parse(since))}${paused ? ', paused' : ''}`;
}

/** An image as a person knows it: without its registry, a digest cut short. */
function imageName(image: string): string {
  const [name = '', digest] = image.split('@');
  const short = name.slice(name.lastIndexOf('/') + 1);
  const algorithm = /^sha256:/;
  if (digest !== undefined) return `${short}@${digest.replace(algorithm, '').slice(0, 12)}`;
  return algorithm.test(image) ? image.replace(algorithm, '').slice(0, 12) : short;
}

function isWell({ state, health }: RunningContainer): boolean {
  return state === 'running' && (health === undefined || health === 'healthy');
}

/** The containers worth a word: what neither serves nor is wanted is so only while it runs. */
function shownOf({ containers, live }: Status): readonly RunningContainer[] {
  return containers.filter(
    ({ part, state }) => (part !== 'blue' && part !== 'green') || part === live?.slot || state === 'running',
  );
}

function containerLines(status: Status, paint: Paint, label: number, columns: number, now: number): string[] {
  return shownOf(status).map((container) => {
    const { name, part, state, health, restarts, startedAt } = container;
    const idle = (part === 'blue' || part === 'green') && part !== status.live?.slot;
    const text = health === undefined || state !== 'running' ? state : health;
    const colour = isWell(container) ? paint.green : paint.red;
    const since = state === 'running' && startedAt !== undefined ? ago(now - Date.parse(startedAt)) : '';
    const again = restarts === 0 ? '' : paint.yellow(`  restarted ${restarts} times`);
    const image = imageName(container.image).slice(0, Math.max(12, columns - label - 28));
    const line = `  ${name.padEnd(label)}${colour(text.padEnd(9))} ${since.padEnd(7)} ${paint.dim(image)}`;
    return `${line}${idle ? paint.dim(part === status.canary?.slot ? ' (canary)' : ' (warm)') : ''}${again}`;
  });
}

function backupsText({ backups }: Status, paint: Paint): string {
  if (backups === undefined) return paint.dim('none declared');
  const [first, ...more] = backups.alarms;
  if (first === undefined) return paint.green('well');
  const count = more.length === 0 ? 'an alarm' : `${more.length + 1} alarms`;
  return `${paint.red(count)}: ${first.split('\n')[0] ?? ''}${paint.dim('  `deploy backup status` tells more')}`;
}

/** How an app stands on one host, as a person reads it. `now` is in milliseconds, by this machine's clock. */
export function statusText(status: Status, paint: Paint, columns: number, now: number): string[] {
  const { live, canary, warm, interrupted, maintenance, busy, certificates, disk } = status;
  const width = Math.max(LABEL, ...shownOf(status).map(({ name }) => name.length + 2));
  const line = (label: string, text: string) => `  ${label.padEnd(width)}${text}`;
  const occupied = ({ tag, release, slot }: NonNullable<Status['live']>) =>
    `${paint.bold(tag)}  ${paint.dim(`${release}, ${slot} slot`)}`;
  const free = `${formatBytes(disk.freeBytes)} of ${formatBytes(disk.totalBytes)} free`;
  return [
    line('live', live === undefined ? paint.yellow('nothing was released yet') : occupied(live)),
    ...(canary === undefined ? [] : [line('canary', `${occupied(canary)}  ${paint.yellow(shareText(canary, now))}`)]),
    ...(warm === undefined ? [] : [line('warm', occupied(warm))]),
    ...(interrupted === undefined
      ? []
      : [line('interrupted', paint.yellow(`${interrupted.tag}  ${interrupted.release}, at "${interrupted.state}"`))]),
    ...(maintenance === undefined
      ? []
      : [
          line(
            'maintenance',
            paint.yellow(`on for ${ago(now - Date.parse(maintenance.since))}, by ${maintenance.by || 'somebody'}`) +
              (maintenance.allow.length === 0 ? '' : paint.dim(`  lets ${maintenance.allow.join(', ')} through`)),
          ),
        ]),
    ...(busy === undefined
      ? []
      : [line('at work', paint.yellow(`deploy ${busy.verb} by ${busy.by} for ${ago(now - Date.parse(busy.since))}`))]),
    ...containerLines(status, paint, width, columns, now),
    ...certificates.map(({ domain, ends }) => {
      const left = Date.parse(ends) - now;
      const text = `${domain} until ${ends.slice(0, 10)}${left < 0 ? ', ended' : ` (${ago(left)})`}`;
      return line('certificate', left < SOON * 86_400_000 ? paint.red(text) : text);
    }),
    line('backups', backupsText(status, paint)),
    line('disk', disk.freeBytes < SCARCE * disk.totalBytes ? paint.red(free) : free),
  ];
}
