import type { Source } from '#protocol/backup';
import type { Engine } from './engine.ts';
import { mariadb } from './mariadb.ts';
import { postgres } from './postgres.ts';
import { redis } from './redis.ts';
import { volume } from './volume.ts';

/** Every type of source. A new one costs its file and a line here. */
const ENGINES = { postgres, redis, mariadb, mysql: mariadb, volume } as const;

/** What can be done with a source. */
export function engineOf<S extends Source>({ type }: S): Engine<S> {
  return ENGINES[type] as unknown as Engine<S>;
}
