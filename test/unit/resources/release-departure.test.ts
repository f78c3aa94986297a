import { expect, test } from 'vitest';
import { releaseKind } from '#resources/release';

type Live = NonNullable<Parameters<typeof releaseKind.diff>[0]>;

const live: Live = {
  release: 'r42',
  declared: 'r42',
  images: {},
  tag: 'v42',
  slot: 'green',
  missing: [],
  workers: undefined,
  departed: undefined,
  open: undefined,
  wanted: 'r41',
  isPinned: true,
  isRouted: true,
};

const changes = (state: Live, tag = 'v41') =>
  releaseKind.diff(state, { tag } as Parameters<typeof releaseKind.diff>[1]).map(({ summary }) => summary);

test('what was brought live beside the inventory is named before it is replaced', () => {
  expect(changes(live)).toEqual(['release v42 -> v41']);
  const departed = { by: 'ana@laptop', at: '2026-11-20T09:00:00.000Z' };
  expect(changes({ ...live, departed })).toEqual([
    'release v42 -> v41; v42 was brought live by ana@laptop on 2026-11-20 and is not in the inventory',
  ]);
  expect(changes({ ...live, departed, wanted: 'r42' })).toEqual([]);
});
