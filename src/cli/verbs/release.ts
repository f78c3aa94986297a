import type { ReleaseOptions } from '#cli/carry-out';
import { release } from '#cli/release';
import type { Verb } from '#cli/verb';

export const verb: Verb = {
  define(command) {
    command
      .argument('<environment>', 'the environment: a file below inventory/, without .yaml')
      .option(
        '--tag <tag>',
        "the tag, or sha256:… digest, of the app's own images; by default what the inventory names",
      )
      .option(
        '--canary <steps>',
        'try it on so many clients in a hundred first: `10,50`, or `none`; see release.canary',
      )
      .option('--pause', 'stop after each of these steps, until `deploy canary promote` or `abort`')
      .option('--probe <rate>', 'send so many requests a second to the public URLs meanwhile; a lost one takes it back')
      .option('--wait', 'wait for another operation on a host to end, instead of exiting with 5')
      .option('--yes', 'do not ask, where the environment is protected')
      .option(
        '--images <from>',
        'where the images come from, for once: registry, local, build, or an archive that docker save wrote',
      )
      .option('--json', 'print every event as a line of JSON to standard output')
      .option('--project <folder>', 'the folder that holds inventory/')
      .addHelpText(
        'after',
        '\nThe new release starts beside the one that serves, has to answer well, and\nthen gets all requests at once, or first those of a few clients (--canary),\nwatched beside the old one. With several hosts all of them get ready\nfirst, and one that fails keeps all from flipping.\n\nExit codes: 0 done, 1 failed, 2 usage, 4 rejected or taken back, 5 locked, 6\nhost unreachable.',
      )
      .action(async (environment: string, options: ReleaseOptions) => {
        process.exitCode = await release(environment, options);
      });
  },
};
