import type { Backups } from '#backup/engine';
import type { PostgresSource } from '#protocol/backup';
import { beginGeneration } from './generation.ts';
import { installReceiving } from './install.ts';
import { SLOT } from './observe.ts';
import { takeReceivingTurn } from './receive.ts';
import { literal, query, readCluster } from './server.ts';

/**
 * Has the log of a restored cluster received from its beginning on: what was received before parted from it when it was
 * promoted, so that the one does not go on where the other ends.
 */
export async function beginAnew(backups: Backups, source: PostgresSource): Promise<void> {
  await partFromBefore(backups, source);
  await installReceiving(backups, source);
}

async function partFromBefore({ host, settings: { app } }: Backups, source: PostgresSource): Promise<void> {
  await using _turn = await takeReceivingTurn(app, source.name);
  const cluster = await readCluster(host, source);
  await query(
    host,
    source,
    `SELECT pg_create_physical_replication_slot(${literal(SLOT)}, true)
     WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = ${literal(SLOT)});`,
  );
  await beginGeneration(app, source.name, cluster, 'its data was restored in place');
}
