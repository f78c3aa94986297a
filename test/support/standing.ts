import { expect } from 'vitest';
import type { Copy, DrillReport } from '#protocol/backup';
import type { Event } from '#protocol/event';
import type { BackedUp } from './backed-up.ts';
import { ask } from './release.ts';

/** The folder on the host in which backups of the app keep what they know. */
export const STATE = '/var/lib/slipway/backup/shop';

/** What `deploy backup status` is told. */
export async function standingOf({ host }: BackedUp): Promise<Extract<Event, { type: 'backup.stands' }>> {
  const { events, error } = await ask(host, { verb: 'backup-status', app: 'shop' });
  expect(error?.message).toBeUndefined();
  const stands = events.find((event) => event.type === 'backup.stands');
  if (stands === undefined) throw new Error('there was no answer');
  return stands;
}

/** Alarms, but for one that is the machine's own: how full its disk is. */
export async function alarmsOf(box: BackedUp): Promise<Awaited<ReturnType<typeof standingOf>>['alarms']> {
  return (await standingOf(box)).alarms.filter(({ message }) => !message.startsWith('The disk with'));
}

/** What `deploy backup list` is told of a source. */
export async function copiesOf({ host }: BackedUp, source: string): Promise<readonly Copy[]> {
  const { events } = await ask(host, { verb: 'backup-list', app: 'shop', only: source });
  return events.flatMap((event) => (event.type === 'backup.listed' ? event.copies : []));
}

/** The report of a drill of the database by what is off the host. */
export async function drillOf({ host }: BackedUp): Promise<DrillReport> {
  const { events } = await ask(host, {
    ...{ verb: 'drill', app: 'shop', environment: 'prod', by: 'tests', target: 'latest', only: 'postgres' },
    from: 'offsite',
  });
  const report = events.find((event) => event.type === 'drill.ended')?.report;
  if (report === undefined) throw new Error('there is no report');
  return report;
}

/**
 * Has a host in which cron begins no job raise no alarm for that, nor for a key that nobody has put away: what then is an
 * alarm is what a test has done. `others` are jobs besides those of PostgreSQL.
 */
export async function silence({ says }: BackedUp, others: readonly string[] = []): Promise<void> {
  const jobs = ['watch', 'check', 'prune', 'drill', ...['full', 'incremental', 'dump'].map((job) => `postgres-${job}`)];
  const files = [...jobs, ...others].map((job) => `/etc/cron.d/slipway-backup-shop-${job}`);
  await says(`touch ${files.join(' ')}; printf '{"at":"2026-01-01T00:00:00.000Z"}' > ${STATE}/escrow.json`);
}

/** What no run may leave for good: drafts, scratch, containers that are not the app's own or stand still, keys. */
export function leftoversOf({ says }: BackedUp): Promise<string> {
  const drafts = ["'.*'", "'*.part'", "'*.next'", 'sealed', "'*.unpruned'"].map((name) => `-name ${name}`);
  return says(`find ${STATE} $(ls -d /var/backups/slipway/shop/vps/objects /srv/offsite/vps/objects 2>/dev/null) \\( \\
      ${drafts.join(' -o ')} -o -path '*/scratch/*' \\
      -o -type d -name '*-[0-9]*.[0-9]*' \\) ! -name sweep
    docker ps --all --format '{{.Names}}' | grep -v '^shop-'; docker ps --filter status=paused --format '{{.Names}}'
    ls -d /run/slipway-key-* 2>/dev/null; true`);
}
