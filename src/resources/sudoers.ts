import * as z from 'zod';
import { DeployError } from '#core/errors';
import { lastLines } from '#core/run';
import { accountName, readUsers } from '#resources/accounts';
import { readTextFile, textFileChanges } from '#resources/file';
import { defineKind, type Host } from '#resources/resource';

const DIRECTORY = '/etc/sudoers.d';
const CANDIDATES = '/run/slipway/sudoers';
const ATTRIBUTES = { owner: 'root', group: 'root', mode: '0440' };

const props = z.strictObject({
  /** sudo reads no file whose name has a dot or ends in a tilde (sudoers(5)). */
  name: z.string().regex(/^[A-Za-z0-9_-]+$/, 'letters, digits, `_` and `-`'),
  content: z.string().transform((text) => (text.endsWith('\n') ? text : `${text}\n`)),
  /** Who has to become root without a password by it, whatever other files say. */
  passwordless: accountName.optional(),
});

/** The main file with its include directories spelt out, so that a candidate can stand in for the file it will become. */
export function mergedSudoers(main: string, others: readonly string[], candidate: string): string {
  const includes = [...others, candidate].map((path) => `@include ${path}`).join('\n');
  const line = /^[@#]includedir[ \t]+\/etc\/sudoers\.d[ \t]*$/m;
  return line.test(main) ? main.replace(line, () => includes) : `${main}\n${includes}\n`;
}

async function check(host: Host, name: string, content: string): Promise<void> {
  if (!(await host.has('visudo'))) {
    throw new DeployError('tool-missing', `visudo is not installed, so the sudoers file ${name} cannot be checked.`, {
      hint: 'Declare the package sudo before it.',
    });
  }
  const candidate = `${CANDIDATES}/${name}`;
  const merged = `${CANDIDATES}/merged`;
  const others = (await host.list(DIRECTORY))
    .filter((other) => other !== name && !other.includes('.') && !other.endsWith('~'))
    .map((other) => `${DIRECTORY}/${other}`);
  await host.writeFile(candidate, content, ATTRIBUTES);
  await host.writeFile(
    merged,
    mergedSudoers((await host.readFile('/etc/sudoers')) ?? '', others, candidate),
    ATTRIBUTES,
  );
  try {
    for (const file of [candidate, merged]) {
      const output = await host.run(['visudo', '-c', '-f', file]);
      if (output.exitCode === 0) continue;
      throw new DeployError('sudoers-invalid', `visudo refuses the sudoers file ${name}: ${lastLines(output)}`, {
        hint: 'Correct what it names; what is live was not changed.',
      });
    }
  } finally {
    await host.removeFile(candidate);
    await host.removeFile(merged);
  }
}

/** Has sudo itself say whether a user becomes root; where not, the entry that counts is named. */
async function prove(host: Host, user: string): Promise<void> {
  if (!(await readUsers(host)).has(user)) return;
  const output = await host.run(['runuser', '-u', user, '--', 'sudo', '-n', 'true']);
  if (output.exitCode === 0) return;
  // As the user, whom no requiretty holds up; of whoever may do something without a password, none is asked for (listpw).
  const listed = await host.run(['runuser', '-u', user, '--', 'sudo', '-n', '-ll']);
  const last = [...listed.stdout.matchAll(/^Sudoers entry: (\S+)$/gm)].at(-1)?.[1];
  const from = last === undefined ? '' : ` The last entry that counts is in ${last}.`;
  throw new DeployError('sudo-unavailable', `${user} cannot become root: ${lastLines(output, 1)}.${from}`, {
    hint: `Take what contradicts out of ${last ?? '/etc/sudoers and /etc/sudoers.d'} on the host, then run the same command again.`,
  });
}

/** A file of rights for sudo, checked together with all others before it counts. */
export const sudoersKind = defineKind({
  kind: 'sudoers',
  summary: 'A file of rights for sudo, checked by visudo together with all others before it counts.',
  props,
  id: ({ name }) => name,
  read: (host, { name }) => readTextFile(host, `${DIRECTORY}/${name}`),
  diff: (state, { content }) => textFileChanges(state, { content, ...ATTRIBUTES }),
  async apply(host, { name, content, passwordless }) {
    await check(host, name, content);
    await host.writeFile(`${DIRECTORY}/${name}`, content, ATTRIBUTES);
    if (passwordless !== undefined) await prove(host, passwordless);
  },
  footprint: ({ name }) => ({ name }),
  remove: (host, { name }) => host.removeFile(`${DIRECTORY}/${name}`),
  guarded: true,
  preexisting: 'remove',
});
