import { askHosts } from '#cli/ask';
import { hostsOf } from '#cli/operate';
import { paintFor } from '#cli/paint';
import { printError } from '#cli/print-error';
import { projectDirectory } from '#cli/project';
import type { Verb } from '#cli/verb';
import { EXIT } from '#core/error-codes';
import { DeployError } from '#core/errors';
import { parseDuration } from '#core/units';
import { loadEnvironment } from '#inventory/load';
import type { Event } from '#protocol/event';

interface LogsOptions {
  readonly follow?: boolean;
  readonly since?: string;
  readonly lines?: string;
  readonly host?: readonly string[];
  readonly json?: boolean;
  readonly project?: string;
}

type LogLine = Extract<Event, { type: 'log.line' }>;

/** Seconds back from now, of a duration or of a moment such as `2026-11-21T14:00`. */
function secondsBack(since: string): number {
  const seconds = parseDuration(since) ?? (Date.now() - Date.parse(since)) / 1000;
  if (seconds > 0) return seconds;
  throw new DeployError('usage', `--since ${since} is no duration and no moment of the past.`, {
    hint: 'Write it like 10m, 2h, 1d or 2026-11-21T14:00.',
  });
}

function countOf(lines: string): number {
  if (/^\d+$/.test(lines)) return Number(lines);
  throw new DeployError('usage', `--lines ${lines} is no number.`, { hint: 'Write it like --lines 200.' });
}

/** Prints lines with who wrote them in front, where there is more than one. */
function printer(several: boolean): (line: LogLine) => void {
  const paint = paintFor(process.stdout);
  const colours = [paint.cyan, paint.green, paint.yellow, paint.red];
  const known = new Map<string, (text: string) => string>();
  let width = 0;
  return ({ host, container, stream, text }) => {
    const name = several ? `${host}/${container}` : container;
    const colour = known.get(name) ?? colours[known.size % colours.length] ?? paint.dim;
    known.set(name, colour);
    width = Math.max(width, name.length);
    const mark = stream === 'stderr' ? paint.red('!') : ' ';
    process.stdout.write(`${colour(name.padEnd(width))}${mark} ${text}\n`);
  };
}

async function logs(name: string, target: string | undefined, options: LogsOptions): Promise<number> {
  const environment = await loadEnvironment(projectDirectory(options.project), name);
  const hosts = hostsOf(environment, options.host ?? []);
  const print = printer(hosts.length > 1);
  // Whoever reads may have seen enough: `deploy logs prod | head`.
  process.stdout.on('error', () => process.exit(EXIT.done));
  process.once('SIGINT', () => process.exit(EXIT.interrupted));
  const answers = await askHosts(
    environment,
    hosts,
    {
      verb: 'logs',
      app: environment.app,
      follow: options.follow === true,
      ...(target === undefined ? {} : { target }),
      ...(options.since === undefined ? {} : { since: secondsBack(options.since) }),
      ...(options.lines === undefined ? {} : { lines: countOf(options.lines) }),
    },
    (event) => {
      if (event.type !== 'log.line') return;
      if (options.json === true) process.stdout.write(`${JSON.stringify(event)}\n`);
      else print(event);
    },
  );
  const failed = answers.flatMap(({ error }) => (error === undefined ? [] : [error]));
  for (const error of failed) printError(error, { json: options.json === true, environment: name });
  return failed[0]?.exitCode ?? EXIT.done;
}

export const verb: Verb = {
  define(command) {
    command
      .argument('<environment>', 'the environment: a file below inventory/, without .yaml')
      .argument('[service]', 'a service or an accessory; all services by default')
      .option('-f, --follow', 'go on with what is written from now on, also by the containers of a later release')
      .option('--since <time>', 'how far back: 10m, 2h, 1d or 2026-11-21T14:00')
      .option('--lines <count>', 'the last lines of each container; 100 where no --since is given')
      .option('--host <name...>', 'only these hosts')
      .option('--json', 'print every line as JSON')
      .option('--project <folder>', 'the folder that holds inventory/')
      .addHelpText('after', '\nWhat serves is shown: the containers of the live slot, the workers, an\naccessory.')
      .action(async (environment: string, service: string | undefined, options: LogsOptions) => {
        process.exitCode = await logs(environment, service, options);
      });
  },
};
