import { type ConvergeOptions, converge } from '#cli/converge';
import type { Verb } from '#cli/verb';

export const verb: Verb = {
  define(command) {
    command
      .argument('<environment>', 'the environment: a file below inventory/, without .yaml')
      .option('--host <name...>', 'only these hosts')
      .option('--exit-code', 'exit with 3 when something would change')
      .option('--ask-password', 'ask for a password for the very first contact; it is used once and never stored')
      .option(
        '--images <from>',
        'where the images come from, for once: registry, local, build, or an archive that docker save wrote',
      )
      .option('--json', 'print every event as a line of JSON to standard output')
      .option('--project <folder>', 'the folder that holds inventory/')
      .action(async (environment: string, options: ConvergeOptions) => {
        process.exitCode = await converge('plan', environment, options);
      });
  },
};
