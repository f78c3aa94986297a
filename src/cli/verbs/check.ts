import { projectDirectory } from '#cli/project';
import type { Verb } from '#cli/verb';
import { EXIT } from '#core/error-codes';
import { listEnvironments, loadEnvironment } from '#inventory/load';

interface CheckOptions {
  readonly project?: string;
}

export const verb: Verb = {
  define(command) {
    command
      .argument('[environment]', 'the environment; all of them by default')
      .option('--project <folder>', 'the folder that holds inventory/')
      .action(async (named: string | undefined, options: CheckOptions) => {
        const directory = projectDirectory(options.project);
        const names = named === undefined ? await listEnvironments(directory) : [named];
        for (const name of names) {
          const { app, hosts, services, warnings } = await loadEnvironment(directory, name);
          for (const warning of warnings) process.stderr.write(`! ${warning}\n`);
          process.stdout.write(
            `${name}: ${app} on ${Object.keys(hosts).join(', ')}, services ${Object.keys(services).join(', ') || 'none'}: valid\n`,
          );
        }
        process.exitCode = EXIT.done;
      });
  },
};
