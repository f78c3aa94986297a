import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { directoryKind } from '#resources/directory';
import { linkKind } from '#resources/link';
import type { FileState } from '#resources/resource';

const name = fc.stringMatching(/^[a-z]{1,8}$/);
const mode = fc.constantFrom('0700', '0750', '0755', '0777');

test('a directory that is as declared has no difference, whatever is declared', async () => {
  await fc.assert(
    fc.property(name, name, name, mode, (path, owner, group, mode) => {
      const props = directoryKind.props.parse({ path: `/${path}`, owner, group, mode });
      const state: FileState = { type: 'directory', owner, group, mode, size: 4096 };
      expect(directoryKind.diff(state, props)).toEqual([]);
    }),
  );
});

test('each attribute of a directory is a change of its own', () => {
  const props = directoryKind.props.parse({ path: '/srv/x', owner: 'app' });
  const state: FileState = { type: 'directory', owner: 'root', group: 'root', mode: '0700', size: 4096 };
  expect(directoryKind.diff(state, props)).toEqual([
    { summary: 'mode 0700 -> 0755' },
    { summary: 'owner root:root -> app:root' },
  ]);
  expect(directoryKind.diff(undefined, props)).toEqual([{ summary: 'create' }]);
});

test('the root and relative paths are no directories to declare', () => {
  for (const path of ['/', 'x', '/x/']) expect(directoryKind.props.safeParse({ path }).success, path).toBe(false);
});

test('a link differs by where it points', () => {
  const props = linkKind.props.parse({ path: '/srv/current', target: 'releases/2' });
  const state: FileState = { type: 'link', owner: 'root', group: 'root', mode: '0777', size: 1, target: 'releases/1' };
  expect(linkKind.diff(state, props)).toEqual([{ summary: 'target releases/1 -> releases/2' }]);
  expect(linkKind.diff({ ...state, target: 'releases/2' }, props)).toEqual([]);
});
