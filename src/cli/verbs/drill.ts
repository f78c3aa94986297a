import { whoAsks } from '#cli/ask';
import { askAloud } from '#cli/ask-aloud';
import { hostsOf } from '#cli/operate';
import { printError } from '#cli/print-error';
import { projectDirectory } from '#cli/project';
import type { Verb } from '#cli/verb';
import { EXIT } from '#core/error-codes';
import { DeployError } from '#core/errors';
import { loadEnvironment } from '#inventory/load';
import { type RepositoryName, repositoryName } from '#protocol/backup';

interface DrillOptions {
  readonly target: string;
  readonly only?: string;
  readonly from?: string;
  readonly host?: readonly string[];
  readonly json?: boolean;
  readonly project?: string;
}

/** ISO 8601 with its distance from UTC: a drill at another hour than was meant proves something else. */
const MOMENT = /^\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)$/;

function targetOf(text: string): string {
  if (text === 'latest' || text === 'random') return text;
  if (MOMENT.test(text) && !Number.isNaN(Date.parse(text))) return text;
  throw new DeployError('usage', `--target ${text} is no moment.`, {
    hint: 'Write latest, random, or a moment with its distance from UTC: 2026-03-29T14:05:00Z.',
  });
}

function repositoryOf(text: string): RepositoryName {
  const found = repositoryName.safeParse(text);
  if (found.success) return found.data;
  throw new DeployError('usage', `--from ${text} is no repository.`, {
    hint: `Write --from ${repositoryName.options.join(' or --from ')}.`,
  });
}

async function drill(name: string, options: DrillOptions): Promise<number> {
  const target = targetOf(options.target);
  const environment = await loadEnvironment(projectDirectory(options.project), name);
  const { app, backups } = environment;
  const isOffsite = backups?.repositories.some((repository) => repository.name === 'offsite') !== false;
  const from = repositoryOf(options.from ?? (isOffsite ? 'offsite' : 'local'));
  const hosts = hostsOf(environment, options.host ?? []);
  const json = options.json === true;
  const only = options.only === undefined ? {} : { only: options.only };
  const request = { verb: 'drill' as const, app, environment: name, by: whoAsks(), target, from, ...only };
  const answers = await askAloud(environment, hosts, request, json);
  const failed = answers.flatMap(({ error }) => (error === undefined ? [] : [error]));
  for (const error of failed) printError(error, { json, environment: name });
  return failed[0]?.exitCode ?? EXIT.done;
}

export const verb: Verb = {
  define(command) {
    command
      .argument('<environment>', 'the environment: a file below inventory/, without .yaml')
      .option('--target <moment>', 'what to restore: `latest`, `random`, or a moment as ISO 8601', 'latest')
      .option('--only <source>', 'only this accessory or volume')
      .option('--from <repository>', '`offsite` or `local`; offsite where there is one')
      .option('--host <name...>', 'only these hosts')
      .option('--json', 'print events as lines of JSON to standard output')
      .option('--project <folder>', 'the folder that holds inventory/')
      .addHelpText(
        'after',
        '\nWhat is restored is served by containers without a network, beside production, and\nis gone afterwards. Cron does the same, as `drills` in the inventory says. Exits with\n1 unless every drill has passed.',
      )
      .action(async (environment: string, options: DrillOptions) => {
        process.exitCode = await drill(environment, options);
      });
  },
};
