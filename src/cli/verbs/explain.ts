import type { Verb } from '#cli/verb';
import { ERROR_CODES, EXIT } from '#core/error-codes';
import { DeployError } from '#core/errors';

export const verb: Verb = {
  define(command) {
    command
      .argument('[code]', 'the code, as it stands below an error; all of them by default')
      .action((code?: string) => {
        const entries = Object.entries(ERROR_CODES).sort(([a], [b]) => a.localeCompare(b));
        const chosen = code === undefined ? entries : entries.filter(([name]) => name === code);
        if (chosen.length === 0) {
          throw new DeployError('usage', `There is no error code ${code}.`, {
            hint: 'List them with `deploy explain`.',
          });
        }
        for (const [name, { exit, means, fix }] of chosen) {
          process.stdout.write(`${name} (exit ${exit})\n  ${means}\n  → ${fix}\n`);
        }
        process.exitCode = EXIT.done;
      });
  },
};
