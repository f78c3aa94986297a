import type { Command } from 'commander';
import { askHosts, whoAsks } from '#cli/ask';
import { askAloud } from '#cli/ask-aloud';
import { defineBackupKey } from '#cli/backup-key';
import { backupListText, backupStatusText } from '#cli/backup-text';
import { hostsOf } from '#cli/operate';
import { paintFor } from '#cli/paint';
import { printError } from '#cli/print-error';
import { projectDirectory } from '#cli/project';
import { columnsOf } from '#cli/status-line';
import type { Verb } from '#cli/verb';
import { ERROR_CODES, EXIT } from '#core/error-codes';
import { loadEnvironment } from '#inventory/load';
import type { Event } from '#protocol/event';

interface BackupOptions {
  readonly only?: string;
  readonly host?: readonly string[];
  readonly json?: boolean;
  readonly project?: string;
}

/** Has something done on the hosts, and tells how it goes. */
async function act(verb: 'backup' | 'backup-verify', name: string, options: BackupOptions): Promise<number> {
  const environment = await loadEnvironment(projectDirectory(options.project), name);
  const hosts = hostsOf(environment, options.host ?? []);
  const json = options.json === true;
  const { app } = environment;
  const only = options.only === undefined ? {} : { only: options.only };
  const request = { verb, app, environment: name, by: whoAsks(), ...only };
  const answers = await askAloud(environment, hosts, request, json);
  const failed = answers.flatMap(({ error }) => (error === undefined ? [] : [error]));
  for (const error of failed) printError(error, { json, environment: name });
  return failed[0]?.exitCode ?? EXIT.done;
}

type Shown = Extract<Event, { type: 'backup.listed' | 'backup.stands' }>;

/** Asks the hosts how something is, and shows it; resolves with the exit code. */
async function show(
  request: { verb: 'backup-list'; only?: string } | { verb: 'backup-status' },
  name: string,
  options: BackupOptions,
): Promise<number> {
  const environment = await loadEnvironment(projectDirectory(options.project), name);
  const hosts = hostsOf(environment, options.host ?? []);
  const json = options.json === true;
  const { app } = environment;
  const answers = await askHosts(environment, hosts, { ...request, app });
  const paint = paintFor(process.stdout);
  const columns = process.stdout.isTTY ? columnsOf(process.stdout) : Number.POSITIVE_INFINITY;
  const text = (event: Shown): string[] =>
    event.type === 'backup.listed' ? backupListText(event, paint) : backupStatusText(event, paint, columns);
  let code: number = EXIT.done;
  for (const { host, events, error } of answers) {
    if (error !== undefined) printError(error, { json, environment: name });
    code = error?.exitCode ?? code;
    const warnings = events.flatMap((event) => (event.type === 'warning' ? [event.message] : []));
    if (!json) for (const warning of warnings) process.stderr.write(`${paint.yellow(`  ! ${warning}`)}\n`);
    for (const event of events) {
      if (event.type !== 'backup.listed' && event.type !== 'backup.stands') continue;
      if (json) process.stdout.write(`${JSON.stringify({ ...event, host })}\n`);
      else {
        const address = environment.hosts[host]?.address ?? '';
        process.stdout.write(`${paint.bold(host)} ${paint.dim(address)}\n${text(event).join('\n')}\n`);
      }
      if (event.type === 'backup.stands' && event.alarms.length > 0) code = ERROR_CODES['backup-alarm'].exit;
    }
  }
  return code;
}

function subcommand(command: Command, name: string, summary: string): Command {
  return command
    .command(name)
    .description(summary)
    .argument('<environment>', 'the environment: a file below inventory/, without .yaml')
    .option('--host <name...>', 'only these hosts')
    .option('--json', 'print lines of JSON to standard output')
    .option('--project <folder>', 'the folder that holds inventory/');
}

const ONLY = ['--only <source>', 'only this accessory or volume'] as const;

export const verb: Verb = {
  define(command) {
    command.addHelpText(
      'after',
      '\nCopies are made by cron on the hosts, as `backups` in the inventory says; none of\nthese is needed for that. `status` exits with 1 while there is any alarm.',
    );
    subcommand(command, 'now', 'make a copy of everything now, in every repository')
      .option(...ONLY)
      .action(async (environment: string, options: BackupOptions) => {
        process.exitCode = await act('backup', environment, options);
      });
    subcommand(command, 'list', 'show what can be restored, and from which copies')
      .option(...ONLY)
      .action(async (environment: string, options: BackupOptions) => {
        const only = options.only === undefined ? {} : { only: options.only };
        process.exitCode = await show({ verb: 'backup-list', ...only }, environment, options);
      });
    subcommand(command, 'status', 'show up to which moment all can be restored, and what is wrong').action(
      async (environment: string, options: BackupOptions) => {
        process.exitCode = await show({ verb: 'backup-status' }, environment, options);
      },
    );
    subcommand(command, 'verify', 'look whether every stored copy is as it was written')
      .option(...ONLY)
      .action(async (environment: string, options: BackupOptions) => {
        process.exitCode = await act('backup-verify', environment, options);
      });
    defineBackupKey(command);
  },
};
