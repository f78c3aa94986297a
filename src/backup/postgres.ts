import type { PostgresSource } from '#protocol/backup';
import type { Engine } from './engine.ts';
import { alarms } from './postgres/alarms.ts';
import { beginAnew } from './postgres/begin-anew.ts';
import { copies, copy, stands } from './postgres/copy.ts';
import { forget } from './postgres/forget.ts';
import { installReceiving } from './postgres/install.ts';
import { prove } from './postgres/prove.ts';
import { endReceiving } from './postgres/receive.ts';
import { removeReceiver } from './postgres/receiver.ts';
import { foresee, restore } from './postgres/restore.ts';
import { revive } from './postgres/revive.ts';
import { verify } from './postgres/verify.ts';
import { watch } from './postgres/watch.ts';

// One line each: what it does is in `postgres/`.
export const postgres: Engine<PostgresSource> = {
  install: installReceiving,
  uninstall: endReceiving,
  watch,
  alarms,
  copy,
  copies,
  stands,
  forget,
  verify,
  foresee,
  restore,
  revive,
  suspend: ({ host }, source) => removeReceiver(host, source),
  replaced: beginAnew,
  prove,
};
