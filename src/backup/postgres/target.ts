import { DeployError } from '#core/errors';
import { type Lsn, parseLsn } from './lsn.ts';

/** Microseconds since 1970, which is how exactly PostgreSQL knows when a transaction ended. */
export type Moment = bigint;

/** What is to be restored. */
export type Target =
  /** All there is. */
  | { readonly kind: 'latest' }
  /** Everything that had been committed at that moment, the commits of that very microsecond among them. */
  | { readonly kind: 'time'; readonly moment: Moment }
  /** Up to a restore point, the newest where several have that name. */
  | { readonly kind: 'name'; readonly name: string }
  /** What the log held up to that position, as `pg_current_wal_insert_lsn()` tells it. */
  | { readonly kind: 'lsn'; readonly lsn: Lsn }
  /** Up to the end of a transaction, that one included. */
  | { readonly kind: 'xid'; readonly xid: string };

const DATE = /^\d{4}-\d{2}-\d{2}(?:$|[T ])/;
const TIME = /^(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2}(?::\d{2})?)(?:[.,](\d{1,9}))?(Z|[+-]\d{2}(?::?\d{2})?)?$/i;

function refuse(message: string, hint: string): DeployError {
  return new DeployError('restore-refused', message, { hint });
}

/** An ISO 8601 time to the microsecond; undefined where it is none, or on no calendar. */
function momentOf(date: string, clock: string, fraction: string, offset: string): Moment | undefined {
  const seconds = clock.length === 5 ? `${clock}:00` : clock;
  const midnight = Date.parse(`${date}T${seconds}Z`);
  // JavaScript reads 31 February as 3 March.
  if (Number.isNaN(midnight) || !new Date(midnight).toISOString().startsWith(`${date}T${seconds}`)) return undefined;
  const [, sign = '+', hours = '0', minutes = '0'] = /^([+-])(\d{2}):?(\d{2})?$/.exec(offset) ?? [];
  if (Number(hours) > 15 || Number(minutes) > 59) return undefined;
  const ahead = (sign === '-' ? -1 : 1) * (Number(hours) * 60 + Number(minutes)) * 60_000;
  return BigInt(midnight - ahead) * 1000n + BigInt(fraction.padEnd(6, '0').slice(0, 6));
}

/** A moment as ISO 8601 in UTC, to the microsecond where it has any. */
export function formatMoment(moment: Moment): string {
  const iso = new Date(Number(moment / 1000n)).toISOString();
  const rest = moment % 1000n;
  return rest === 0n ? iso : `${iso.slice(0, -1)}${String(rest).padStart(3, '0')}Z`;
}

/** The moment that an ISO 8601 text of ours tells. */
export function parseMoment(text: string): Moment {
  const [, date = '', clock = '', fraction = '', offset = ''] = TIME.exec(text) ?? [];
  const moment = momentOf(date, clock, fraction, offset);
  if (moment === undefined) throw new Error(`${text} is no time`);
  return moment;
}

/**
 * What somebody means by a word. A time has to say how far it is from UTC: a local one is there twice in the night when
 * clocks are put back, and whoever writes it may be in another zone than the host, which is `zone`.
 */
export function parseTarget(text: string, zone: string): Target {
  if (text === 'latest') return { kind: 'latest' };
  if (/^lsn:/i.test(text)) {
    try {
      return { kind: 'lsn', lsn: parseLsn(text.slice(4)) };
    } catch {
      throw refuse(`${text.slice(4)} is no position in a write-ahead log.`, 'Write it like lsn:0/3000148.');
    }
  }
  if (/^xid:/i.test(text)) {
    if (/^xid:\d+$/i.test(text)) return { kind: 'xid', xid: text.slice(4) };
    throw refuse(`${text.slice(4)} is no number of a transaction.`, 'Write it like xid:743.');
  }
  if (!DATE.test(text)) {
    if (text !== '') return { kind: 'name', name: text };
    throw refuse('It is not said what to restore.', 'Write `latest`, a time, or the name of a restore point.');
  }
  const [, date, clock, fraction = '', offset] = TIME.exec(text) ?? [];
  if (date === undefined || clock === undefined) {
    throw refuse(`${text} is no time.`, 'Write it as ISO 8601 does: 2026-03-29T14:05:00Z, or …+02:00.');
  }
  if (offset === undefined) {
    throw refuse(
      `${text} does not say how far from UTC it is, and is not guessed.`,
      `Add Z for UTC, or an offset like +02:00; the host's own zone is ${zone}.`,
    );
  }
  const moment = momentOf(date, clock, fraction, offset.toUpperCase() === 'Z' ? '+00:00' : offset);
  if (moment !== undefined) return { kind: 'time', moment };
  throw refuse(`${text} is on no calendar and no clock.`, 'Write it as ISO 8601 does: 2026-03-29T14:05:00Z.');
}
