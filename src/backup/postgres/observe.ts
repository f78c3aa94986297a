import { setTimeout as sleep } from 'node:timers/promises';
import { DeployError } from '#core/errors';
import type { PostgresSource } from '#protocol/backup';
import type { Host } from '#resources/resource';
import { type Lsn, parseLsn } from './lsn.ts';
import { type Cluster, query } from './server.ts';

/** The name of our replication slot, and what our receiver calls itself. One cluster has one of each. */
export const SLOT = 'slipway';

/** Our replication slot: what keeps the server from throwing away log that was not received. */
export interface Slot {
  readonly type: 'physical' | 'logical';
  readonly active: boolean;
  /** From where on the log is kept; left out where the slot keeps nothing yet. */
  readonly from?: Lsn;
  /** `lost`: log that it should have kept is gone, for good. */
  readonly status?: 'reserved' | 'extended' | 'unreserved' | 'lost';
}

/** Whom the server sends log to over our slot. */
export interface Sender {
  readonly program: string;
  readonly state: string;
  /** Up to where the receiver says that it has everything; where commits wait for it, on disk too. */
  readonly received: Lsn;
}

/** A server as it is at a moment: everything that decides whether its log is received. */
export interface Observation extends Cluster {
  readonly port: number;
  readonly slot?: Slot;
  readonly sender?: Sender;
  /** Bytes that the slot may hold back, -1 for any. */
  readonly cap: number;
  readonly settings: Readonly<Record<Watched, string>>;
}

/** Settings that continuous backup depends on. */
const WATCHED = ['wal_level', 'summarize_wal', 'synchronous_standby_names', 'synchronous_commit'] as const;
type Watched = (typeof WATCHED)[number];

interface Row {
  readonly time: string;
  readonly version: string;
  readonly system: string;
  readonly segment: string;
  readonly file: string;
  readonly flushed: string;
  readonly port: string;
  readonly cap: string;
  readonly slot: { type: Slot['type']; active: boolean; at: string | null; status: Slot['status'] | null } | null;
  readonly sender: { program: string; state: string; received: string | null } | null;
  readonly settings: Readonly<Record<string, string>> | null;
}

// The time is read first: whatever was acknowledged before it lies before the position that is read after it.
const QUESTION = `
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now)
SELECT json_build_object(
  'time', extract(epoch FROM now)::text,
  'version', current_setting('server_version_num'),
  'system', (SELECT system_identifier FROM pg_control_system())::text,
  'segment', pg_size_bytes(current_setting('wal_segment_size'))::text,
  'file', pg_walfile_name(pg_current_wal_insert_lsn()),
  'flushed', pg_current_wal_flush_lsn()::text,
  'port', current_setting('port'),
  'cap', (SELECT setting FROM pg_settings WHERE name = 'max_slot_wal_keep_size'),
  'slot', (SELECT json_build_object('type', slot_type, 'active', active, 'at', restart_lsn::text, 'status', wal_status)
           FROM pg_replication_slots WHERE slot_name = '${SLOT}'),
  'sender', (SELECT json_build_object('program', application_name, 'state', state, 'received', write_lsn::text)
             FROM pg_stat_replication JOIN pg_replication_slots ON pid = active_pid WHERE slot_name = '${SLOT}'),
  'settings', (SELECT json_object_agg(name, setting) FROM pg_settings
               WHERE name IN (${WATCHED.map((name) => `'${name}'`).join(', ')})))
FROM clock;`;

function observation(row: Row): Observation {
  const { slot, sender } = row;
  return {
    version: Number(row.version),
    major: Math.floor(Number(row.version) / 10_000),
    systemId: row.system,
    segmentBytes: Number(row.segment),
    timeline: Number.parseInt(row.file.slice(0, 8), 16),
    flushed: parseLsn(row.flushed),
    time: Number(row.time),
    port: Number(row.port),
    cap: Number(row.cap) === -1 ? -1 : Number(row.cap) * 2 ** 20,
    settings: Object.fromEntries(WATCHED.map((name) => [name, row.settings?.[name] ?? ''])) as Record<Watched, string>,
    ...(slot === null
      ? {}
      : {
          slot: {
            type: slot.type,
            active: slot.active,
            ...(slot.at === null ? {} : { from: parseLsn(slot.at) }),
            ...(slot.status === null || slot.status === undefined ? {} : { status: slot.status }),
          },
        }),
    // Until its first word a receiver has nothing.
    ...(sender === null
      ? {}
      : { sender: { program: sender.program, state: sender.state, received: parseLsn(sender.received ?? '0/0') } }),
  };
}

/** Looks at a server once; rejects with `backup-failed` where it does not answer. */
export async function observe(host: Host, source: PostgresSource): Promise<Observation> {
  const rows = await query(host, source, QUESTION, { timeout: 20 });
  const text = rows[0]?.[0];
  if (text === undefined) {
    throw new DeployError('backup-failed', `PostgreSQL in ${source.container} answered nothing.`, {
      hint: `\`docker logs ${source.container}\` on the host shows what it says.`,
    });
  }
  return observation(JSON.parse(text) as Row);
}

/** Whether our own receiver is being sent the log. */
export function isReceiving({ sender }: Pick<Observation, 'sender'>): boolean {
  return sender?.program === SLOT && (sender.state === 'streaming' || sender.state === 'catchup');
}

/** Bytes that the slot holds back from being thrown away. */
export function heldBy({ slot, flushed }: Pick<Observation, 'slot' | 'flushed'>): number {
  return slot?.from === undefined ? 0 : Number(flushed - slot.from);
}

/** Milliseconds between questions for what a receiver has. */
const QUESTIONS = 250;

/**
 * Waits until the receiver has told that it has the log up to a position, for so many milliseconds at most; resolves with
 * what it told last. Where no commit waits for it, it tells each second.
 */
export async function untilReceived(
  host: Host,
  source: PostgresSource,
  goal: Lsn,
  most: number,
): Promise<Lsn | undefined> {
  for (const end = Date.now() + most; ; await sleep(QUESTIONS)) {
    const received = (await observe(host, source)).sender?.received;
    if ((received !== undefined && received >= goal) || Date.now() > end) return received;
  }
}
