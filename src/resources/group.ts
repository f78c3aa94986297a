import * as z from 'zod';
import { accountName, readGroups } from '#resources/accounts';
import { defineKind } from '#resources/resource';

const props = z.strictObject({
  name: accountName,
  /** The next free one where none is given. */
  gid: z.number().int().positive().optional(),
  /** A group of the system takes its number from below those of people. */
  system: z.boolean().default(false),
});

/** A group of the host. */
export const groupKind = defineKind({
  kind: 'group',
  summary: 'A group of the host.',
  props,
  id: ({ name }) => name,
  read: async (host, { name }) => (await readGroups(host)).get(name),
  diff(state, { gid }) {
    if (state === undefined) return [{ summary: 'create' }];
    return gid === undefined || gid === state.gid ? [] : [{ summary: `gid ${state.gid} -> ${gid}` }];
  },
  async apply(host, { name, gid, system }, state) {
    const number = gid === undefined ? [] : ['--gid', String(gid)];
    await host.must(
      state === undefined
        ? ['groupadd', ...(system ? ['--system'] : []), ...number, name]
        : ['groupmod', ...number, name],
    );
  },
  footprint: ({ name }) => ({ name }),
  async remove(host, { name }) {
    if (!(await readGroups(host)).has(name as string)) return;
    const output = await host.run(['groupdel', name as string]);
    // groupdel(8): 6 = there is none, 8 = it is the primary group of a user.
    if (output.exitCode === 8) host.warn(`The group ${name} stays, since it is the primary group of a user.`);
    else if (output.exitCode !== 0 && output.exitCode !== 6) await host.must(['groupdel', name as string]);
  },
});
