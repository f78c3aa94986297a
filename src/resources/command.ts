import * as z from 'zod';
import { defineKind } from '#resources/resource';

const argv = z.array(z.string()).min(1);

const props = z
  .strictObject({
    /** What it is called in plans. */
    name: z.string().min(1),
    /** What it is run for, as the plan says it: `make the group for SFTP`. */
    why: z.string().min(1),
    /** An argument vector; no shell reads it, and everybody on the host can: no secrets. */
    command: argv,
    /** Exit 0 says that nothing has to be done. Must be quick and change nothing. */
    check: argv.optional(),
    /** A path whose being there says that nothing has to be done. */
    creates: z.string().startsWith('/').optional(),
    /** Run when it is no longer declared. */
    undo: argv.optional(),
    cwd: z.string().startsWith('/').optional(),
    /** Seconds. */
    timeout: z.number().positive().default(60),
  })
  .refine(({ check, creates }) => (check === undefined) !== (creates === undefined), {
    message: 'either `check` or `creates` has to say whether it is done already',
    path: ['check'],
  });

/** A program run until its check says that it is done. */
export const commandKind = defineKind({
  kind: 'command',
  summary: 'A program that is run where its check says that it has not been yet.',
  props,
  id: ({ name }) => name,
  async read(host, { check, creates }): Promise<'done' | undefined> {
    if (creates !== undefined) return (await host.stat(creates)) === undefined ? undefined : 'done';
    return check !== undefined && (await host.run(check)).exitCode === 0 ? 'done' : undefined;
  },
  diff: (state, { why }) => (state === 'done' ? [] : [{ summary: why }]),
  async apply(host, { command, cwd, timeout }) {
    await host.must(command, { timeout, ...(cwd === undefined ? {} : { cwd }) });
  },
  footprint: ({ undo }) => (undo === undefined ? {} : { undo }),
  async remove(host, { undo }) {
    if (undo !== undefined) await host.must(undo as string[]);
  },
});
