import type { PostgresSource } from '#protocol/backup';
import type { Engine } from './engine.ts';
import { copies, copy, stands } from './postgres/copy.ts';
import { installReceiving, uninstallReceiving } from './postgres/install.ts';
import { prove } from './postgres/prove.ts';
import { foresee, restore } from './postgres/restore.ts';
import { revive } from './postgres/revive.ts';

const todo = (): never => {
  throw new Error('not built yet');
};

// One line each: what it does is in `postgres/`.
export const postgres: Engine<PostgresSource> = {
  install: installReceiving,
  uninstall: uninstallReceiving,
  watch: todo,
  copy,
  copies,
  stands,
  forget: todo,
  verify: todo,
  foresee,
  restore,
  revive,
  prove,
};
