import fc from 'fast-check';
import { expect, test } from 'vitest';
import { RELEASE_STATES } from '#protocol/release';
import { canaryOf, isOver, isPaused, type Run, remedy } from '#release/run';

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

const canary = { percent: 10, rest: [50], since: '2026-11-21T12:00:00Z', watch: 30, pause: true, restarts: 0 };
const running: Run = { ...run, state: 'canary', canary: { ...canary, isPaused: false } };
const paused: Run = { ...run, state: 'canary', canary: { ...canary, isPaused: true } };

test.each([
  ['is under way', running, 'blue', 'take back'],
  // The flag was renamed and the state was not yet written.
  ['is under way', running, 'green', 'finish'],
  ['is paused', paused, 'blue', 'nothing'],
  // Nothing but a flip by hand leads here, and what serves is never taken down.
  ['is paused', paused, 'green', 'finish'],
  ['was flipped', { ...paused, state: 'flipped' }, 'green', 'finish'],
  ['was flipped', { ...paused, state: 'flipped' }, 'blue', 'take back'],
  ['was taken back', { ...paused, state: 'taken-back' }, 'blue', 'nothing'],
] as const)('a canary that %s (%#)', (_name, found, flagged, what) => {
  expect(remedy(found, flagged)).toBe(what);
});

test('only what stands at the canary by its own will is paused', () => {
  expect(isPaused(paused)).toBe(true);
  expect(isPaused(running)).toBe(false);
  expect(isPaused({ ...paused, state: 'done' })).toBe(false);
  expect(canaryOf(paused)).toEqual({ percent: 10, next: 50, since: canary.since, paused: true });
  expect(canaryOf({ ...paused, canary: { ...canary, rest: [], isPaused: true } })).not.toHaveProperty('next');
  expect(canaryOf({ ...paused, state: 'done' })).toBeUndefined();
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
