import { askHosts, whoAsks } from '#cli/ask';
import { narrator, recorder } from '#cli/narrator';
import { hostsOf } from '#cli/operate';
import { paintFor } from '#cli/paint';
import { printError } from '#cli/print-error';
import { projectDirectory } from '#cli/project';
import { confirmLoss } from '#cli/protection';
import { momentText, previewText, restoredText } from '#cli/restore-text';
import type { Verb } from '#cli/verb';
import { EXIT } from '#core/error-codes';
import { DeployError } from '#core/errors';
import type { Environment, Host } from '#inventory/environment';
import { loadEnvironment } from '#inventory/load';
import type { BackupRequest } from '#protocol/backup';
import type { Event } from '#protocol/event';

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

type Asking = Extract<BackupRequest, { verb: 'restore' }>;
type Preview = Extract<Event, { type: 'restore.previewed' }>;

function oneOf<Word extends string>(option: string, word: string, words: readonly Word[]): Word {
  const found = words.find((one) => one === word);
  if (found !== undefined) return found;
  throw new DeployError('usage', `${option} is ${words.join(' or ')}, not ${word}.`, {
    hint: `Write ${option} ${words[0]}.`,
  });
}

/** Asks the hosts, shows what happens, and resolves with what was previewed and the exit code. */
async function ask(
  environment: Environment,
  hosts: readonly Host[],
  request: Asking,
  json: boolean,
): Promise<{ readonly previews: readonly Preview[]; readonly code: number }> {
  const told = json ? recorder() : narrator(hosts.map(({ name }) => name));
  const interrupted = () => {
    told.end();
    process.stderr.write(`\nInterrupted here; the hosts go on: \`deploy attach ${environment.name}\`.\n`);
    process.exit(EXIT.interrupted);
  };
  process.once('SIGINT', interrupted);
  process.once('SIGTERM', interrupted);
  // "No change" is what an operation says that leaves everything that runs as it is.
  const isSilent = ({ type }: Event) => !json && (type === 'hello' || type === 'operation.finished');
  const answers = await askHosts(environment, hosts, request, (event) =>
    isSilent(event) ? undefined : told.event(event),
  );
  told.end();
  process.off('SIGINT', interrupted);
  process.off('SIGTERM', interrupted);
  const paint = paintFor(process.stdout);
  for (const { host, events, error } of answers) {
    if (!json) {
      for (const event of events) {
        if (event.type === 'restore.previewed') process.stdout.write(`${previewText(event, paint).join('\n')}\n`);
        if (event.type === 'restore.done') process.stdout.write(`${restoredText(event, host, paint).join('\n')}\n`);
      }
    }
    if (error !== undefined) printError(error, { json, environment: environment.name });
  }
  return {
    previews: answers.flatMap(({ events }) =>
      events.flatMap((event) => (event.type === 'restore.previewed' ? [event] : [])),
    ),
    code: answers.find(({ error }) => error !== undefined)?.error?.exitCode ?? EXIT.done,
  };
}

async function restore(name: string, options: RestoreOptions): Promise<number> {
  const into = oneOf('--into', options.into, ['scratch', 'in-place']);
  const from = oneOf('--from', options.from, ['offsite', 'local']);
  const environment = await loadEnvironment(projectDirectory(options.project), name);
  const hosts = hostsOf(environment, options.host ?? []);
  const json = options.json === true;
  const request: Asking = {
    verb: 'restore',
    app: environment.app,
    environment: name,
    by: whoAsks(),
    to: options.to,
    into,
    from,
    preview: into === 'in-place',
    ...(options.only === undefined ? {} : { only: options.only }),
  };
  const first = await ask(environment, hosts, request, json);
  if (into === 'scratch' || first.code !== EXIT.done) return first.code;
  const what = first.previews.map(({ source, reaches }) => `${source} of ${momentText(reaches)}`).join(', ');
  await confirmLoss(environment, `replace its data by ${what}`, options.yes === true);
  return (await ask(environment, hosts, { ...request, preview: false }, json)).code;
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
