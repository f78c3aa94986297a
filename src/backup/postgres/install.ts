import { rm } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Backups } from '#backup/engine';
import { sourceFolder } from '#backup/places';
import { DeployError } from '#core/errors';
import type { PostgresSource } from '#protocol/backup';
import { endReceiving, type Reception, receive } from './receive.ts';
import { contained, receiverOf, removeReceiver } from './receiver.ts';
import { undoSettings } from './server-settings.ts';

/** Seconds that a server may take to answer after its container was started. */
const START = 90;

/** Looks at a receiver before it counts as one that does not come to receive. */
const PATIENCE = 60;

/** Has the write-ahead log of a server received from now on; `backup-failed` where it is not in the end. */
export async function installReceiving(backups: Backups, source: PostgresSource): Promise<void> {
  const until = Date.now() + START * 1000;
  let reception: Reception;
  for (;;) {
    reception = await receive(backups, source, { patience: PATIENCE });
    if (reception.state !== 'no server' || Date.now() > until) break;
    await sleep(1000);
  }
  if (reception.state === 'receiving') return;
  throw new DeployError(
    'backup-failed',
    `The write-ahead log of ${source.container} is not received: ${reception.why ?? reception.state}`,
    { hint: `\`docker logs ${receiverOf(source)}\` and \`docker logs ${source.container}\` on the host show more.` },
  );
}

/**
 * Ends receiving: the receiver goes, and the slot, and our settings are taken back. Copies stay; what lies on the host
 * only to be copied goes too.
 */
export async function uninstallReceiving(backups: Backups, source: PostgresSource): Promise<void> {
  const { host, settings } = backups;
  if ((await contained(host, source.container))?.running === true) {
    // First of all commits stop waiting for what is about to go.
    await undoSettings(host, settings.app, source);
    await endReceiving(backups, source);
  } else {
    await removeReceiver(host, source);
    host.warn(
      `${source.container} does not run, so its replication slot stays.`,
      "Where its data is used again: SELECT pg_drop_replication_slot('slipway'), and ALTER SYSTEM RESET what is in postgresql.auto.conf.",
    );
  }
  await rm(sourceFolder(settings.app, source.name), { recursive: true, force: true });
}
