import fc from 'fast-check';
import { expect, test } from 'vitest';
import { RELEASE_STATES } from '#protocol/release';
import { isOver, type Run, remedy } from '#release/run';

const previous = { release: 'old', tag: 'v1', slot: 'blue' } as const;
const run: Run = { release: 'new', tag: 'v2', slot: 'green', state: 'preflight', by: 'me', startedAt: '', previous };

test.each([
  ['preflight', 'blue', 'undo'],
  ['started', 'blue', 'undo'],
  ['gated', 'blue', 'undo'],
  // The flag was renamed and the state was not yet written.
  ['gated', 'green', 'finish'],
  ['flipped', 'green', 'finish'],
  ['watched', 'green', 'finish'],
  ['drained', 'green', 'finish'],
  // The watch was not content, and its end was not yet written.
  ['flipped', 'blue', 'take back'],
  ['done', 'green', 'nothing'],
  ['rejected', 'blue', 'nothing'],
  ['taken-back', 'blue', 'nothing'],
] as const)('a run killed at %s while requests go to %s: %s', (state, flagged, what) => {
  expect(remedy({ ...run, state }, flagged)).toBe(what);
});

test('a run that was going back goes on doing so, wherever requests go', () => {
  for (const flagged of ['blue', 'green'] as const) {
    expect(remedy({ ...run, state: 'flipped', goesBack: true }, flagged)).toBe('take back');
  }
  expect(remedy({ ...run, state: 'taken-back', goesBack: true }, 'blue')).toBe('nothing');
});

test('the very first release is judged by its state alone, since the flag says blue before it', () => {
  const { previous: _, ...first } = { ...run, slot: 'blue' } as const;
  expect(remedy({ ...first, state: 'started' }, 'blue')).toBe('undo');
  expect(remedy({ ...first, state: 'flipped' }, 'blue')).toBe('finish');
});

test('whatever the state, what serves is never undone and what does not is never finished', () => {
  fc.assert(
    fc.property(fc.constantFrom(...RELEASE_STATES), fc.constantFrom('blue', 'green'), (state, flagged) => {
      const what = remedy({ ...run, state }, flagged as 'blue' | 'green');
      if (isOver({ ...run, state })) return what === 'nothing';
      return flagged === run.slot ? what === 'finish' : what === 'undo' || what === 'take back';
    }),
  );
});
