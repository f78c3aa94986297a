import { createClient } from '@redis/client';
import { Pool } from 'pg';

/** Milliseconds after which a store that does not answer counts as down. */
const PATIENCE = 3000;

/** Any number that nobody else locks: two starting at once must not both create the table. */
const TABLE_LOCK = 5_411_972;

/** A place where visits are counted. */
export interface Store {
  readonly name: string;
  /** Counts one visit and answers how many there were. */
  visit(): Promise<number>;
  /** Answers where the store does, throws the reason where it does not. */
  check(): Promise<void>;
  close(): Promise<void>;
}

/** Why a store failed, in one line, without its password. */
export function reasonOf(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(reasonOf).join(', ');
  return error instanceof Error ? error.message : String(error);
}

function absent(name: string, variable: string): Store {
  const missing = () => Promise.reject(new Error(`${variable} is not set`));
  return { name, visit: missing, check: missing, close: () => Promise.resolve() };
}

/** Visits in PostgreSQL, in a table that the first visit creates; works through PgBouncer in transaction mode. */
export function openPostgres(url: string | undefined): Store {
  if (url === undefined) return absent('PostgreSQL', 'DATABASE_URL');
  const pool = new Pool({
    connectionString: url,
    max: 5,
    connectionTimeoutMillis: PATIENCE,
    query_timeout: PATIENCE,
    application_name: 'demo',
  });
  // A connection that breaks while idle says so here; the next query opens another.
  pool.on('error', () => undefined);

  const createTable = async (): Promise<void> => {
    const client = await pool.connect();
    try {
      await client.query('BEGIN');
      await client.query('SELECT pg_advisory_xact_lock($1)', [TABLE_LOCK]);
      await client.query('CREATE TABLE IF NOT EXISTS visits (id integer PRIMARY KEY, count bigint NOT NULL)');
      await client.query('INSERT INTO visits VALUES (1, 0) ON CONFLICT DO NOTHING');
      await client.query('COMMIT');
      client.release();
    } catch (error) {
      client.release(true);
      throw error;
    }
  };
  let table: Promise<void> | undefined;
  const ready = (): Promise<void> => {
    table ??= createTable().catch((error: unknown) => {
      table = undefined;
      throw error;
    });
    return table;
  };
  // The database may have been replaced by an empty one, as a restore does.
  const afresh = (error: unknown): never => {
    table = undefined;
    throw error;
  };

  return {
    name: 'PostgreSQL',
    async visit() {
      await ready();
      const counted = await pool
        .query<{ count: string }>('UPDATE visits SET count = count + 1 WHERE id = 1 RETURNING count')
        .catch(afresh);
      return Number(counted.rows[0]?.count ?? afresh(new Error('the visits are gone')));
    },
    async check() {
      await ready();
      await pool.query('SELECT 1');
    },
    close: () => pool.end(),
  };
}

/** Visits in Redis, under the key `visits`. */
export function openRedis(url: string | undefined): Store {
  if (url === undefined) return absent('Redis', 'REDIS_URL');
  const client = createClient({
    url,
    // A command must fail at once while the connection is down, not wait for better times.
    disableOfflineQueue: true,
    socket: { connectTimeout: PATIENCE, reconnectStrategy: (attempt) => Math.min(100 * 2 ** attempt, 2000) },
  });
  let last: unknown = new Error('not connected yet');
  client.on('error', (error: unknown) => {
    last = error;
  });
  client.connect().catch((error: unknown) => {
    last = error;
  });
  const ready = (): void => {
    if (!client.isReady) throw last;
  };
  const inTime = async <T>(answer: Promise<T>): Promise<T> => {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => reject(new Error(`no answer within ${PATIENCE} ms`)), PATIENCE);
    });
    return Promise.race([answer, late]).finally(() => clearTimeout(timer));
  };
  return {
    name: 'Redis',
    async visit() {
      ready();
      return inTime(client.incr('visits'));
    },
    async check() {
      ready();
      await inTime(client.ping());
    },
    close() {
      client.destroy();
      return Promise.resolve();
    },
  };
}
