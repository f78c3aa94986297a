import type { ReleaseOptions } from '#cli/carry-out';
import { rollback, rollbackWithDatabase } from '#cli/release';
import type { Verb } from '#cli/verb';

export const verb: Verb = {
  define(command) {
    command
      .argument('<environment>', 'the environment: a file below inventory/, without .yaml')
      .option('--to <release>', 'the tag or the id of a release, as `deploy releases` lists them')
      .option('--with-database', 'bring the database back too, as it was when the next release began')
      .option('--probe <rate>', 'send so many requests a second to the public URLs meanwhile; a lost one takes it back')
      .option('--wait', 'wait for another operation on a host to end, instead of exiting with 5')
      .option('--yes', 'do not ask, where the environment is protected')
      .option('--json', 'print every event as a line of JSON to standard output')
      .option('--project <folder>', 'the folder that holds inventory/')
      .addHelpText(
        'after',
        '\nWithout --to it goes back to the release that served before: at once while\nthat is still warm. Every release comes back as it was, with its environment\nand its routes, also when the registry cannot be reached.\nWith --with-database what was written since is lost from what serves, after it\nwas said how much and confirmed; it is kept beside it.',
      )
      .action(async (environment: string, options: ReleaseOptions & { to?: string; withDatabase?: boolean }) => {
        const act = options.withDatabase === true ? rollbackWithDatabase : rollback;
        process.exitCode = await act(environment, options);
      });
  },
};
