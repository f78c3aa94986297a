import { type ConvergeOptions, converge } from '#cli/converge';
import type { Verb } from '#cli/verb';

export const verb: Verb = {
  define(command) {
    command
      .argument('<environment>', 'the environment: a file below inventory/, without .yaml')
      .option('--host <name...>', 'only these hosts')
      .option('--ask-password', 'ask for a password for the very first contact; it is used once and never stored')
      .option('--yes', 'do not ask, where the environment is protected')
      .option('--force-allow-from', 'let ssh.allowFrom shut out even the address you are connected from')
      .option(
        '--images <from>',
        'where the images come from, for once: registry, local, build, or an archive that docker save wrote',
      )
      .option('--json', 'print every event as a line of JSON to standard output')
      .option('--project <folder>', 'the folder that holds inventory/')
      .addHelpText(
        'after',
        '\nExit codes: 0 done, 1 failed, 2 invalid inventory, 4 release rejected, 5 locked, 6 host unreachable.',
      )
      .action(async (environment: string, options: ConvergeOptions) => {
        process.exitCode = await converge('up', environment, options);
      });
  },
};
