import { askHosts } from '#cli/ask';
import { hostsOf } from '#cli/operate';
import { paintFor } from '#cli/paint';
import { printError } from '#cli/print-error';
import { projectDirectory } from '#cli/project';
import { momentText } from '#cli/restore-text';
import { ago, shareText } from '#cli/status-text';
import type { Verb } from '#cli/verb';
import { EXIT } from '#core/error-codes';
import { loadEnvironment } from '#inventory/load';

interface ReleasesOptions {
  readonly host?: readonly string[];
  readonly json?: boolean;
  readonly project?: string;
}

async function releases(name: string, options: ReleasesOptions): Promise<number> {
  const environment = await loadEnvironment(projectDirectory(options.project), name);
  const hosts = hostsOf(environment, options.host ?? []);
  const answers = await askHosts(environment, hosts, { verb: 'releases', app: environment.app });
  const paint = paintFor(process.stdout);
  const colours = { live: paint.green, canary: paint.yellow, warm: paint.yellow, kept: paint.dim, failed: paint.red };
  for (const { host, events, error } of answers) {
    const listed = events.find((event) => event.type === 'releases.listed');
    if (error !== undefined) printError(error, { json: options.json === true, environment: name });
    else if (options.json === true) process.stdout.write(`${JSON.stringify(listed)}\n`);
    else {
      const all = listed?.releases ?? [];
      const tags = Math.max(8, ...all.map(({ tag }) => tag.length));
      const lines = all.map(({ id, tag, createdAt, by, state, canary, marked }) => {
        const share = canary === undefined ? '' : paint.yellow(`  ${shareText(canary, Date.now())}`);
        const point = marked === undefined ? '' : paint.dim(`  data marked ${momentText(marked)}`);
        const age = `${ago(Date.now() - Date.parse(createdAt))} ago`;
        return `  ${colours[state](state.padEnd(7))} ${paint.bold(tag.padEnd(tags))}  ${id}  ${age.padEnd(11)} ${paint.dim(by)}${share}${point}`;
      });
      const shown = lines.length === 0 ? ['  nothing was released yet'] : lines;
      process.stdout.write(`${paint.bold(host)}\n${shown.join('\n')}\n`);
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
      .addHelpText(
        'after',
        '\nlive serves; canary serves some of the clients; warm still runs and takes over at once; kept is started again by\na rollback; failed never served.\nmarked: where the database stood when a release began, for `rollback --with-database`.',
      )
      .action(async (environment: string, options: ReleasesOptions) => {
        process.exitCode = await releases(environment, options);
      });
  },
};
