import { askHosts } from '#cli/ask';
import { hostsOf } from '#cli/operate';
import { paintFor } from '#cli/paint';
import { printError } from '#cli/print-error';
import { projectDirectory } from '#cli/project';
import { statusText } from '#cli/status-text';
import type { Verb } from '#cli/verb';
import { EXIT } from '#core/error-codes';
import { loadEnvironment } from '#inventory/load';

interface StatusOptions {
  readonly host?: readonly string[];
  readonly json?: boolean;
  readonly project?: string;
}

async function status(name: string, options: StatusOptions): Promise<number> {
  const environment = await loadEnvironment(projectDirectory(options.project), name);
  const hosts = hostsOf(environment, options.host ?? []);
  const answers = await askHosts(environment, hosts, { verb: 'status', app: environment.app });
  const paint = paintFor(process.stdout);
  const columns = process.stdout.isTTY ? process.stdout.columns : Number.POSITIVE_INFINITY;
  for (const { host, events, error } of answers) {
    const read = events.find((event) => event.type === 'status.read');
    if (read === undefined) {
      if (error !== undefined) printError(error, { json: options.json === true, environment: name });
    } else if (options.json === true) process.stdout.write(`${JSON.stringify(read)}\n`);
    else {
      const address = environment.hosts[host]?.address ?? '';
      process.stdout.write(
        `${paint.bold(host)} ${paint.dim(address)}\n${statusText(read, paint, columns, Date.now()).join('\n')}\n`,
      );
    }
  }
  return answers.find(({ error }) => error !== undefined)?.error?.exitCode ?? EXIT.done;
}

export const verb: Verb = {
  define(command) {
    command
      .argument('<environment>', 'the environment: a file below inventory/, without .yaml')
      .option('--host <name...>', 'only these hosts')
      .option('--json', 'print one line of JSON for each host to standard output')
      .option('--project <folder>', 'the folder that holds inventory/')
      .action(async (environment: string, options: StatusOptions) => {
        process.exitCode = await status(environment, options);
      });
  },
};
