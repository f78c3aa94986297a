import * as z from 'zod';
import { refuseOtherType } from '#resources/directory';
import { defineKind } from '#resources/resource';

const props = z.strictObject({
  path: z.string().startsWith('/'),
  /** What the link says, absolute or relative to its own folder; it need not exist. */
  target: z.string().min(1),
});

/** A symbolic link. */
export const linkKind = defineKind({
  kind: 'link',
  summary: 'A symbolic link.',
  props,
  id: ({ path }) => path,
  read: (host, { path }) => host.stat(path),
  diff(state, { target }) {
    if (state === undefined) return [{ summary: `create -> ${target}` }];
    if (state.type !== 'link') return [{ summary: `${state.type} -> link to ${target}` }];
    return state.target === target ? [] : [{ summary: `target ${state.target ?? ''} -> ${target}` }];
  },
  async apply(host, { path, target }, state) {
    refuseOtherType(path, state, 'link');
    await host.must(['mkdir', '-p', '--', path.slice(0, path.lastIndexOf('/')) || '/']);
    // coreutils makes the link under another name and renames it, so there is no moment without one.
    await host.must(['ln', '-sfT', '--', target, path]);
  },
  footprint: ({ path, target }) => ({ path, target }),
  async remove(host, { path, target }) {
    const state = await host.stat(path as string);
    if (state?.type === 'link' && state.target === target) await host.must(['rm', '-f', '--', path as string]);
  },
});
