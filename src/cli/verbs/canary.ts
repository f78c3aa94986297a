import { askHosts, whoAsks } from '#cli/ask';
import { carryOut, type ReleaseOptions } from '#cli/carry-out';
import { narrator } from '#cli/narrator';
import { hostsOf } from '#cli/operate';
import { printError } from '#cli/print-error';
import { projectDirectory } from '#cli/project';
import { confirmProtected } from '#cli/protection';
import type { Verb } from '#cli/verb';
import { EXIT } from '#core/error-codes';
import { DeployError } from '#core/errors';
import type { Environment } from '#inventory/environment';
import { loadEnvironment } from '#inventory/load';

type Action = 'promote' | 'abort';

function asked(environment: Environment, action: Action) {
  return { verb: 'canary', app: environment.app, environment: environment.name, by: whoAsks(), action } as const;
}

async function abort(environment: Environment, options: ReleaseOptions): Promise<number> {
  const json = options.json === true;
  await confirmProtected(environment, 'take its canary back', options.yes === true);
  const hosts = hostsOf(environment, []);
  const told = narrator(hosts.map(({ name }) => name));
  const answers = await askHosts(environment, hosts, { ...asked(environment, 'abort'), hold: false }, (event) => {
    if (json) process.stdout.write(`${JSON.stringify(event)}\n`);
    else if (event.type !== 'operation.finished') told.event(event);
  });
  told.end();
  const isBack = answers.some(({ error }) => error === undefined);
  // Where a host has taken it back already, all is as it was asked for.
  const failed = answers.flatMap(({ error }) =>
    error === undefined || (isBack && error.code === 'canary-unknown') ? [] : [error],
  );
  for (const error of failed) printError(error, { json, environment: environment.name });
  return failed[0]?.exitCode ?? EXIT.done;
}

async function canary(action: Action, name: string, options: ReleaseOptions): Promise<number> {
  const environment = await loadEnvironment(projectDirectory(options.project), name);
  if (action === 'abort') return abort(environment, options);
  return carryOut(
    {
      environment,
      doing: 'give its canary to more clients',
      request: async (_host, _facts, { hold }) => ({ ...asked(environment, action), hold }),
      hasCommand: false,
    },
    options,
  );
}

export const verb: Verb = {
  define(command) {
    command
      .argument('<promote|abort>', 'whether the canary goes on to its next step, or back to none of the clients')
      .argument('<environment>', 'the environment: a file below inventory/, without .yaml')
      .option('--wait', 'promote: wait for another operation on a host to end, instead of exiting with 5')
      .option('--yes', 'do not ask, where the environment is protected')
      .option('--json', 'print every event as a line of JSON to standard output')
      .option('--project <folder>', 'the folder that holds inventory/')
      .addHelpText(
        'after',
        '\nFor a release that was begun with `deploy release --pause`, from this machine\nor any other. After its last step `promote` gives it to all clients. `abort`\nalso ends a canary that is under way.\n\nExit codes: 0 done, 1 failed or no canary, 2 usage, 4 taken back, 5 locked, 6\nhost unreachable.',
      )
      .action(async (action: string, environment: string, options: ReleaseOptions) => {
        if (action !== 'promote' && action !== 'abort') {
          throw new DeployError('usage', `A canary is promoted or aborted; ${action} is neither.`, {
            hint: 'Write `deploy canary promote <environment>` or `deploy canary abort <environment>`.',
          });
        }
        process.exitCode = await canary(action, environment, options);
      });
  },
};
