import type { SourceOf } from '#protocol/backup';
import type { Engine } from './engine.ts';

const todo = (): never => {
  throw new Error('not built yet');
};

export const mariadb: Engine<SourceOf<'mariadb' | 'mysql'>> = {
  copy: todo,
  copies: todo,
  stands: todo,
  forget: todo,
  verify: todo,
  foresee: todo,
  restore: todo,
  revive: todo,
  prove: todo,
};
