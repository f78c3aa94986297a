import { isIP } from 'node:net';
import { askHosts, whoAsks } from '#cli/ask';
import { hostsOf } from '#cli/operate';
import { paintFor } from '#cli/paint';
import { printError } from '#cli/print-error';
import { projectDirectory } from '#cli/project';
import { confirmProtected } from '#cli/protection';
import type { Verb } from '#cli/verb';
import { EXIT } from '#core/error-codes';
import { DeployError } from '#core/errors';
import { loadEnvironment } from '#inventory/load';

interface MaintenanceOptions {
  readonly allow?: readonly string[];
  readonly host?: readonly string[];
  readonly json?: boolean;
  readonly yes?: boolean;
  readonly project?: string;
}

async function maintenance(on: boolean, name: string, options: MaintenanceOptions): Promise<number> {
  const allow = options.allow ?? [];
  const wrong = allow.find((address) => isIP(address) === 0);
  if (wrong !== undefined) {
    throw new DeployError('usage', `${wrong} is no address.`, {
      hint: 'Networks are let through by `maintenance: { allow: [203.0.113.0/24] }` in the inventory.',
    });
  }
  const environment = await loadEnvironment(projectDirectory(options.project), name);
  const hosts = hostsOf(environment, options.host ?? []);
  if (on) await confirmProtected(environment, 'show its visitors the maintenance page', options.yes === true);
  const answers = await askHosts(environment, hosts, {
    verb: 'maintenance',
    app: environment.app,
    environment: name,
    by: whoAsks(),
    on,
    allow: [...allow],
  });
  const paint = paintFor(process.stdout);
  for (const { host, events, error } of answers) {
    const switched = events.find((event) => event.type === 'maintenance.switched');
    if (error !== undefined) printError(error, { json: options.json === true, environment: name });
    else if (options.json === true) process.stdout.write(`${JSON.stringify(switched)}\n`);
    else if (on) {
      const { routes } = environment;
      process.stdout.write(
        `${paint.yellow('●')} ${paint.bold(host)}: ${routes.map(({ domain }) => domain).join(', ')} shows the maintenance page\n`,
      );
    } else process.stdout.write(`${paint.green('✓')} ${paint.bold(host)}: ${environment.app} serves\n`);
  }
  if (on && options.json !== true) process.stdout.write(`  end it with \`deploy maintenance off ${name}\`\n`);
  return answers.find(({ error }) => error !== undefined)?.error?.exitCode ?? EXIT.done;
}

export const verb: Verb = {
  define(command) {
    command
      .argument('<on|off>', 'whether visitors see the maintenance page')
      .argument('<environment>', 'the environment: a file below inventory/, without .yaml')
      .option('--allow <address...>', 'addresses that get through, besides those of the inventory')
      .option('--host <name...>', 'only these hosts')
      .option('--yes', 'do not ask, where the environment is protected')
      .option('--json', 'print one line of JSON for each host to standard output')
      .option('--project <folder>', 'the folder that holds inventory/')
      .addHelpText(
        'after',
        '\nVisitors get 503 with Retry-After until it is switched off, whatever is\nreleased meanwhile. Health checks and certificates are not affected. The page\nand the networks that get through: `maintenance` in the inventory.',
      )
      .action(async (state: string, environment: string, options: MaintenanceOptions) => {
        if (state !== 'on' && state !== 'off') {
          throw new DeployError('usage', `Maintenance is on or off, not ${state}.`, {
            hint: 'Write `deploy maintenance on <environment>`.',
          });
        }
        process.exitCode = await maintenance(state === 'on', environment, options);
      });
  },
};
