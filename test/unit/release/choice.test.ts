import { expect, test } from 'vitest';
import { repositoryOf } from '#core/image-name';
import { pinnedName } from '#release/images';
import { keptOf } from '#release/prune';
import type { Stored } from '#release/record';
import { chooseRelease } from '#release/roll-back';

const stored = (id: string, tag: string, served: boolean | undefined = true): Stored => ({
  record: { id, tag } as Stored['record'],
  outcome: served === undefined ? undefined : { served, at: '' },
});

test('a rollback goes to the release before, to an id, or to the newest of a tag that does not serve', () => {
  const all = [stored('d', 'v2'), stored('c', 'v2'), stored('b', 'v1'), stored('a', 'v1')];
  expect(chooseRelease('shop', all, 'd', 'b').id).toBe('b');
  expect(chooseRelease('shop', all, 'd', 'b', 'a').id).toBe('a');
  expect(chooseRelease('shop', all, 'd', 'b', 'v1').id).toBe('b');
  expect(chooseRelease('shop', all, 'd', 'b', 'v2').id).toBe('c');
  expect(chooseRelease('shop', [stored('e', 'v1', false), ...all], 'd', 'c', 'v1').id).toBe('b');
});

test('what cannot be gone back to is said', () => {
  const all = [stored('b', 'v2'), stored('a', 'v1')];
  expect(() => chooseRelease('shop', all, 'b', undefined)).toThrow(/no release to go back to/);
  expect(() => chooseRelease('shop', all, 'b', 'gone')).toThrow(/no longer kept/);
  expect(() => chooseRelease('shop', all, 'b', 'a', 'v2')).toThrow(/v2 serves shop already/);
  expect(() => chooseRelease('shop', all, 'b', 'a', 'v9')).toThrow(/no release v9/);
  expect(() => chooseRelease('shop', [stored('c', 'v3', false), ...all], 'b', 'a', 'v3')).toThrow(/v3 never served/);
});

test('pruning keeps what runs, the last five that served and the last two that did not', () => {
  const all = [
    ...['n', 'm', 'l'].map((id) => stored(id, 'v9', false)),
    ...['i', 'h', 'g', 'f', 'e', 'd', 'c'].map((id) => stored(id, 'v1')),
  ];
  const kept = keptOf(all, new Set(['c'])).map(({ record }) => record.id);
  expect(kept).toEqual(['n', 'm', 'i', 'h', 'g', 'f', 'e', 'c']);
});

test.each([
  ['demo', 'demo', 'slipway/shop:0e44872dea67'],
  ['demo:v2', 'demo', 'slipway/shop:v2-0e44872dea67'],
  ['registry.example:5000/a/demo', 'registry.example:5000/a/demo', 'slipway/shop:0e44872dea67'],
  ['ghcr.io/a/demo:v2@sha256:aa', 'ghcr.io/a/demo', 'slipway/shop:v2-0e44872dea67'],
  ['ghcr.io/a/demo@sha256:aa', 'ghcr.io/a/demo', 'slipway/shop:0e44872dea67'],
])('%s is held by a name that says its tag', (reference, repository, pinned) => {
  expect(repositoryOf(reference)).toBe(repository);
  expect(pinnedName('shop', reference, 'sha256:0e44872dea676eecb10014706e')).toBe(pinned);
});
