import { narrator } from '#cli/narrator';
import { failureOf, hostsOf } from '#cli/operate';
import { printError } from '#cli/print-error';
import { projectDirectory, runnerFile } from '#cli/project';
import { reach } from '#cli/reach';
import type { Verb } from '#cli/verb';
import { EXIT } from '#core/error-codes';
import { DeployError } from '#core/errors';
import { loadEnvironment } from '#inventory/load';
import { openHost } from '#ssh/operation';
import { readBundle } from '#ssh/runner';

interface AttachOptions {
  readonly host?: string;
  readonly json?: boolean;
  readonly project?: string;
}

async function attach(name: string, operation: string | undefined, options: AttachOptions): Promise<number> {
  const environment = await loadEnvironment(projectDirectory(options.project), name);
  const [host, ...more] = hostsOf(environment, options.host === undefined ? [] : [options.host]);
  if (host === undefined || more.length > 0) {
    throw new DeployError('usage', `${name} has several hosts.`, { hint: 'Name one of them with --host.' });
  }
  const bundle = readBundle(runnerFile());
  await using connection = await reach(environment, host, { askPassword: false, bundle });
  const session = await openHost(connection, bundle, () => undefined);
  const audience = narrator([host.name]);
  for await (const event of session.ask({ verb: 'attach', ...(operation === undefined ? {} : { operation }) })) {
    if (options.json === true) process.stdout.write(`${JSON.stringify(event)}\n`);
    else audience.event(event);
    if (event.type === 'operation.failed') {
      audience.end();
      const error = failureOf(event, host.name);
      printError(error, { json: options.json === true, environment: name });
      return error.exitCode;
    }
  }
  audience.end();
  return EXIT.done;
}

export const verb: Verb = {
  define(command) {
    command
      .argument('<environment>', 'the environment: a file below inventory/, without .yaml')
      .argument('[operation]', 'the operation, as its events name it; the newest by default')
      .option('--host <name>', 'which host, where there are several')
      .option('--json', 'print every event as a line of JSON to standard output')
      .option('--project <folder>', 'the folder that holds inventory/')
      .action(async (environment: string, operation: string | undefined, options: AttachOptions) => {
        process.exitCode = await attach(environment, operation, options);
      });
  },
};
