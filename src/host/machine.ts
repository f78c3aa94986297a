import { access, constants } from 'node:fs/promises';
import { join } from 'node:path';
import { DeployError } from '#core/errors';
import { lastLines, run } from '#core/run';
import type { EventBody } from '#protocol/event';
import type { Facts } from '#protocol/facts';
import { ALONE } from '#release/manner';
import type { Host } from '#resources/resource';
import { readAccounts } from './accounts.ts';
import { listIfThere, readTextIfThere, removeManaged, stateOf, writeManaged } from './files.ts';

/** Where what a resource says on the way goes. */
export interface Voice {
  say(message: string): void;
  warn(message: string, hint?: string): void;
  /** Where nobody follows what is done in detail, it is left out. */
  tell?(event: EventBody): void;
}

export interface Machine extends Host {
  /** Ends a reading pass: what was asked once is asked again. */
  forget(): void;
}

/** This machine, as resources see it. Docker's half is loaded only when something asks for it. */
export function createHost(
  facts: Facts,
  voice: Voice,
  { by = `the host ${facts.hostname}`, manner = ALONE }: Partial<Pick<Host, 'by' | 'manner'>> = {},
): Machine {
  const accounts = readAccounts();
  let answers = new Map<string, Promise<unknown>>();

  const host: Machine = {
    facts,
    by,
    manner,
    run,
    async must(argv, options = {}) {
      const { hint, ...rest } = options;
      const output = await run(argv, rest);
      if (output.exitCode === 0) return output;
      const how = output.timedOut ? `did not end within ${rest.timeout ?? 60} s` : `failed (exit ${output.exitCode})`;
      throw new DeployError('command-failed', `\`${argv.join(' ')}\` ${how}:\n${lastLines(output)}`, {
        hint: hint ?? 'Mend what its last lines name, then run the same command again.',
      });
    },
    readFile: readTextIfThere,
    stat: (path) => stateOf(path, accounts),
    list: listIfThere,
    async writeFile(path, content, attributes) {
      accounts.forget();
      await writeManaged(path, content, attributes, accounts);
    },
    removeFile: removeManaged,
    once<T>(question: string, ask: () => Promise<T>): Promise<T> {
      const known = answers.get(question);
      if (known !== undefined) return known as Promise<T>;
      const answer = ask();
      answers.set(question, answer);
      return answer;
    },
    say: voice.say,
    warn: voice.warn,
    tell: (event) => voice.tell?.(event),
    async docker(path, options) {
      const { dockerRequest } = await import('#host/docker');
      return dockerRequest(path, options);
    },
    async compose(project, action) {
      const { compose } = await import('#host/compose');
      await compose(project, action, voice.say);
    },
    async markData(app, release) {
      const { takeRestorePoints } = await import('#backup/restore-points');
      await takeRestorePoints(host, app, release);
    },
    async has(program) {
      const folders = (process.env.PATH ?? '').split(':');
      const found = await Promise.all(
        folders.map((folder) =>
          access(join(folder, program), constants.X_OK).then(
            () => true,
            () => false,
          ),
        ),
      );
      return found.includes(true);
    },
    forget() {
      answers = new Map();
      accounts.forget();
    },
  };
  return host;
}
