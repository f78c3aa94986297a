import { setTimeout as sleep } from 'node:timers/promises';
import type { Backups } from '#backup/engine';
import { DeployError } from '#core/errors';
import type { PostgresSource } from '#protocol/backup';
import { type Reception, receive } from './receive.ts';
import { receiverOf } from './receiver.ts';

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
