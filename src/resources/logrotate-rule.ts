import * as z from 'zod';
import { DeployError } from '#core/errors';
import { readTextFile, textFileChanges } from '#resources/file';
import { defineKind } from '#resources/resource';
import { inTrialFolder } from '#resources/trial';

const props = z.strictObject({ name: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_-]*$/), content: z.string() });

const ATTRIBUTES = { mode: '0644', owner: 'root', group: 'root' };
const pathOf = (name: string): string => `/etc/logrotate.d/${name}`;

/** A rule of logrotate, checked by logrotate before it is put in place. */
export const logrotateRuleKind = defineKind({
  kind: 'logrotate-rule',
  summary: 'A rule of logrotate, checked by logrotate before it is put in place.',
  props,
  id: ({ name }) => name,
  read: (host, { name }) => readTextFile(host, pathOf(name)),
  diff: (state, { content }) => textFileChanges(state, { content, ...ATTRIBUTES }),
  async apply(host, { name, content }) {
    if (await host.has('logrotate')) {
      await inTrialFolder(host, async (folder) => {
        const candidate = `${folder}/${name}`;
        await host.must(['tee', candidate], { input: content });
        const output = await host.run(['logrotate', '--debug', '--state', `${folder}/state`, candidate]);
        // Only what it says of a line counts: a log that does not exist yet is an error to it as well.
        const wrong = output.stderr.split('\n').filter((line) => line.includes(`: ${candidate}:`));
        if (wrong.length === 0) return;
        const said = wrong.join('\n').replaceAll(candidate, pathOf(name));
        throw new DeployError('logrotate-invalid', `logrotate does not accept the rule ${name}: ${said}`, {
          hint: 'What was there was left as it is. Correct the line that is named.',
        });
      });
    }
    await host.writeFile(pathOf(name), content, ATTRIBUTES);
  },
  footprint: ({ name }) => ({ name }),
  remove: (host, { name }) => host.removeFile(pathOf(name as string)),
  preexisting: 'remove',
});
