import { askHosts } from '#cli/ask';
import { hostsOf } from '#cli/operate';
import { paintFor } from '#cli/paint';
import { printError } from '#cli/print-error';
import { projectDirectory } from '#cli/project';
import type { Verb } from '#cli/verb';
import { EXIT } from '#core/error-codes';
import { DeployError } from '#core/errors';
import { loadEnvironment } from '#inventory/load';
import type { LedgerEntry } from '#protocol/release';

interface HistoryOptions {
  readonly verify?: boolean;
  readonly lines?: string;
  readonly host?: readonly string[];
  readonly json?: boolean;
  readonly project?: string;
}

/** Entries that are shown where no number was asked for. */
const SHOWN = 20;

function saying(value: unknown): string {
  return Array.isArray(value) ? value.join(' ') : typeof value === 'string' ? value : JSON.stringify(value);
}

function lineOf({ seq, at, who, op, args, result }: LedgerEntry, paint: ReturnType<typeof paintFor>): string {
  // That one release was one change says nothing.
  const said = Object.entries(args).filter(([name]) => op === 'up' || (name !== 'changed' && name !== 'removed'));
  const what = said.map(([name, value]) => `${name} ${saying(value)}`);
  const end = result === 'done' ? '' : `  ${paint.red(result)}`;
  const when = `${at.slice(0, 10)} ${at.slice(11, 19)}`;
  return `  ${String(seq).padStart(4)}  ${paint.dim(when)}  ${paint.bold(op)}  ${[...what].join(', ')}${end}  ${paint.dim(who)}`;
}

async function history(name: string, options: HistoryOptions): Promise<number> {
  const environment = await loadEnvironment(projectDirectory(options.project), name);
  const hosts = hostsOf(environment, options.host ?? []);
  const verify = options.verify === true;
  const json = options.json === true;
  const count = options.lines === undefined ? SHOWN : Number(options.lines);
  if (!Number.isInteger(count) || count < 1) {
    throw new DeployError('usage', `--lines ${options.lines} is no number.`, { hint: 'Write it like --lines 50.' });
  }
  const answers = await askHosts(environment, hosts, { verb: 'history', app: environment.app, verify });
  const paint = paintFor(process.stdout);
  let worst: number = EXIT.done;
  for (const { host, events, error } of answers) {
    const read = events.find((event) => event.type === 'ledger.read');
    if (error !== undefined || read === undefined) {
      if (error !== undefined) printError(error, { json, environment: name });
      worst = error?.exitCode ?? EXIT.failed;
      continue;
    }
    const { entries, broken } = read;
    if (json) process.stdout.write(`${JSON.stringify(read)}\n`);
    else {
      const shown = entries.slice(-count).map((entry) => lineOf(entry, paint));
      const hidden = entries.length > count ? [paint.dim(`  … ${entries.length - count} earlier, see --lines`)] : [];
      const nothing = entries.length === 0 ? ['  nothing was done yet'] : [];
      process.stdout.write(`${[paint.bold(host), ...hidden, ...shown, ...nothing].join('\n')}\n`);
    }
    if (broken !== undefined) {
      const told = new DeployError('ledger-broken', `Entry ${broken.seq} is not as it was written: ${broken.why}.`, {
        hint: 'Find out who has been root on the host; from that entry on its history proves nothing.',
        host,
      });
      if (!json) printError(told, { json, environment: name });
      worst = told.exitCode;
    } else if (verify && !json) {
      process.stdout.write(`  ${paint.green('✓')} ${entries.length} entries, all as they were written\n`);
    }
  }
  return worst;
}

export const verb: Verb = {
  define(command) {
    command
      .argument('<environment>', 'the environment: a file below inventory/, without .yaml')
      .option('--verify', 'check the chain of hashes; exit with 1 where an entry is not as it was written')
      .option('--lines <count>', 'how many of the last entries; 20 by default')
      .option('--host <name...>', 'only these hosts')
      .option('--json', 'print one line of JSON for each host, with all entries')
      .option('--project <folder>', 'the folder that holds inventory/')
      .action(async (environment: string, options: HistoryOptions) => {
        process.exitCode = await history(environment, options);
      });
  },
};
