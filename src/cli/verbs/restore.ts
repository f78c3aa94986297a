import { whoAsks } from '#cli/ask';
import { hostsOf } from '#cli/operate';
import { projectDirectory } from '#cli/project';
import { type Asking, askForData, replaceData } from '#cli/restore';
import { momentText } from '#cli/restore-text';
import type { Verb } from '#cli/verb';
import { DeployError } from '#core/errors';
import { loadEnvironment } from '#inventory/load';

interface RestoreOptions {
  readonly to: string;
  readonly into: string;
  readonly only?: string;
  readonly from: string;
  readonly host?: readonly string[];
  readonly yes?: boolean;
  readonly json?: boolean;
  readonly project?: string;
}

function oneOf<Word extends string>(option: string, word: string, words: readonly Word[]): Word {
  const found = words.find((one) => one === word);
  if (found !== undefined) return found;
  throw new DeployError('usage', `${option} is ${words.join(' or ')}, not ${word}.`, {
    hint: `Write ${option} ${words[0]}.`,
  });
}

async function restore(name: string, options: RestoreOptions): Promise<number> {
  const into = oneOf('--into', options.into, ['scratch', 'in-place']);
  const from = oneOf('--from', options.from, ['offsite', 'local']);
  const environment = await loadEnvironment(projectDirectory(options.project), name);
  const hosts = hostsOf(environment, options.host ?? []);
  const request: Asking = {
    ...{ verb: 'restore', app: environment.app, environment: name, by: whoAsks() },
    ...{ to: options.to, into, from, preview: false },
    ...(options.only === undefined ? {} : { only: options.only }),
  };
  if (into === 'scratch') return (await askForData(environment, hosts, request, options.json === true)).code;
  const what = (source: string, reaches: string) => `${source} of ${momentText(reaches)}`;
  return replaceData(
    environment,
    hosts,
    request,
    (previews) => `replace what runs by ${previews.map(({ source, reaches }) => what(source, reaches)).join(', ')}`,
    options,
  );
}

export const verb: Verb = {
  define(command) {
    command
      .argument('<environment>', 'the environment: a file below inventory/, without .yaml')
      .option('--to <moment>', 'latest, a time with its offset, a restore point, lsn:X/Y or xid:N', 'latest')
      .option('--into <place>', 'scratch: beside what runs; in-place: instead of it', 'scratch')
      .option('--only <source>', 'only this accessory or volume')
      .option('--from <repository>', 'offsite or local', 'offsite')
      .option('--host <name...>', 'only these hosts')
      .option('--yes', 'do not ask before data is replaced')
      .option('--json', 'print every event as a line of JSON to standard output')
      .option('--project <folder>', 'the folder that holds inventory/')
      .addHelpText(
        'after',
        '\nA time is written like 2026-03-29T14:05:00Z or 2026-03-29T16:05:00+02:00. Into\nscratch nothing that runs is touched. In place, visitors see the maintenance\npage for as long as the database takes to start on the restored data; what was\nthere before is kept and can be put back.',
      )
      .action(async (environment: string, options: RestoreOptions) => {
        process.exitCode = await restore(environment, options);
      });
  },
};
