import type { Postgres } from '#inventory/environment';

const MB = 1024 ** 2;
const GB = 1024 ** 3;

function clamp(value: number, least: number, most: number): number {
  return Math.min(Math.max(value, least), most);
}

/**
 * Memory as a host is sold: rounded to an eighth of the next power of two, so that the few percent a kernel keeps for
 * itself, which differ from boot to boot, change no setting.
 */
export function nominalMemory(bytes: number): number {
  const step = 2 ** (Math.floor(Math.log2(bytes)) - 2);
  return Math.round(bytes / step) * step;
}

/** PostgreSQL's settings for the memory it may count on. */
export interface PostgresMemory {
  readonly maxConnections: number;
  /** Bytes, as are all below. */
  readonly sharedBuffers: number;
  readonly effectiveCacheSize: number;
  readonly maintenanceWorkMem: number;
  readonly workMem: number;
  /** For /dev/shm, where parallel queries meet. */
  readonly sharedMemory: number;
}

/**
 * Settings by the rules of thumb of the PostgreSQL manual (19.4: a quarter for shared buffers, the operating system's
 * cache for most of the rest), on half of the host's memory, since the app lives on the other half.
 */
export function postgresMemory(
  { memory, maxConnections: declared, pgbouncer }: Pick<Postgres, 'memory' | 'maxConnections' | 'pgbouncer'>,
  hostMemory: number,
): PostgresMemory {
  const budget = memory ?? nominalMemory(hostMemory) / 2;
  // Behind a pool few are needed: those of the pool, and some for people, backups and what does not like a pool.
  const maxConnections = declared ?? (pgbouncer === undefined ? 100 : pgbouncer.poolSize + 30);
  const sharedBuffers = clamp(budget / 4, 32 * MB, 16 * GB);
  return {
    maxConnections,
    sharedBuffers,
    effectiveCacheSize: (budget * 3) / 4,
    maintenanceWorkMem: clamp(budget / 16, 32 * MB, GB),
    // A query may take several times this, and not every connection is in the middle of one.
    workMem: clamp((budget - sharedBuffers) / (maxConnections * 2), 4 * MB, 128 * MB),
    sharedMemory: clamp(budget / 8, 64 * MB, GB),
  };
}

function kilobytes(bytes: number): string {
  return `${Math.floor(bytes / 1024)}kB`;
}

/** The settings as `name=value`, in kilobytes, as PostgreSQL takes them on its command line. */
export function postgresSettings(memory: PostgresMemory): readonly string[] {
  return Object.entries({
    max_connections: String(memory.maxConnections),
    shared_buffers: kilobytes(memory.sharedBuffers),
    effective_cache_size: kilobytes(memory.effectiveCacheSize),
    maintenance_work_mem: kilobytes(memory.maintenanceWorkMem),
    work_mem: kilobytes(memory.workMem),
    // A VPS has flash: a page out of order costs hardly more than the next one.
    random_page_cost: '1.1',
    // Checkpoints are spread out; a crash replays at most this much.
    max_wal_size: '2GB',
    min_wal_size: '256MB',
    checkpoint_timeout: '15min',
    wal_compression: 'on',
  }).map(([name, value]) => `${name}=${value}`);
}
