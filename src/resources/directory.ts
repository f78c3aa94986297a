import * as z from 'zod';
import { DeployError } from '#core/errors';
import { attributeChanges, attributesSchema } from '#resources/file';
import { defineKind, type FileState, type Host } from '#resources/resource';

const props = z.strictObject({
  path: z.string().regex(/^\/.*[^/]$/, 'an absolute path without a slash at its end'),
  ...attributesSchema,
  mode: attributesSchema.mode.default('0755'),
});

/** Refuses to go on where something of another type stands. */
export function refuseOtherType(path: string, state: FileState | undefined, type: FileState['type']): void {
  if (state === undefined || state.type === type) return;
  const found = state.type === 'link' ? `a link to ${state.target ?? 'nowhere'}` : `a ${state.type}`;
  throw new DeployError('path-taken', `${path} should be a ${type}, and is ${found}.`, {
    hint: `Look at it on the host (\`ls -la ${path}\`); move it away if nobody needs it, then run the same command again.`,
  });
}

async function remove(host: Host, footprint: Record<string, unknown>): Promise<void> {
  const path = footprint['path'] as string;
  if ((await host.stat(path))?.type !== 'directory') return;
  await host.must(['rmdir', '--ignore-fail-on-non-empty', '--', path]);
  if ((await host.stat(path)) === undefined) return;
  host.warn(
    `${path} is not empty and stays.`,
    `Remove it yourself when its content is no longer needed: rm -r ${path}`,
  );
}

/** A directory with this owner and mode; removed only when it is empty, since what is in it may be data. */
export const directoryKind = defineKind({
  kind: 'directory',
  summary: 'A directory with this owner and mode; removed only when it is empty.',
  props,
  id: ({ path }) => path,
  read: (host, { path }) => host.stat(path),
  diff: (state, wanted) =>
    state === undefined ? [{ summary: 'create' }] : attributeChanges(state, wanted, 'directory'),
  async apply(host, { path, owner, group, mode }, state) {
    refuseOtherType(path, state, 'directory');
    await host.must(['install', '-d', '-m', mode, '-o', owner, '-g', group, '--', path]);
  },
  footprint: ({ path }) => ({ path }),
  remove,
});
