import type { Command } from 'commander';
import { type Answered, askHosts, oneHost, whoAsks } from '#cli/ask';
import { paintFor } from '#cli/paint';
import { projectDirectory } from '#cli/project';
import { askSecret, askText, isInteractive } from '#cli/prompter';
import { DeployError } from '#core/errors';
import type { Environment } from '#inventory/environment';
import { loadEnvironment } from '#inventory/load';
import type { BackupRequest } from '#protocol/backup';

interface KeyOptions {
  readonly host?: string;
  readonly again?: boolean;
  readonly project?: string;
}

type Asking = Omit<Extract<BackupRequest, { verb: 'backup-key' }>, 'verb' | 'app' | 'environment' | 'by'>;

const say = (text: string): boolean => process.stderr.write(`${text}\n`);

async function ask(environment: Environment, options: KeyOptions, asking: Asking): Promise<Answered> {
  const { app, name } = environment;
  const host = oneHost(environment, options.host);
  const request = { verb: 'backup-key', app, environment: name, by: whoAsks(), ...asking } as const;
  const [answer] = await askHosts(environment, [host], request, (event) => {
    if (event.type === 'warning') say(`  ! ${event.message}${event.hint === undefined ? '' : `\n    ${event.hint}`}`);
  });
  if (answer?.error !== undefined) throw answer.error;
  return answer as Answered;
}

/** The copy: typed or pasted by whoever is there, else what comes in on standard input. */
async function readCopy(): Promise<string> {
  if (isInteractive()) return askSecret('Your copy of the key (AGE-SECRET-KEY-1…):');
  process.stdin.setEncoding('utf8');
  let text = '';
  for await (const chunk of process.stdin) text += chunk;
  return text;
}

/** Lets somebody see the key a second time only where they have typed the environment's name. */
async function confirmAgain({ name }: Environment): Promise<void> {
  if (!isInteractive()) {
    throw new DeployError('not-confirmed', 'Nobody is here to confirm that the key is shown again.', {
      hint: 'Run the same command in a terminal.',
    });
  }
  const typed = await askText(`Whoever has the key can read all backups. Type ${name} to see it again:`);
  if (typed.trim() === name) return;
  throw new DeployError('not-confirmed', `Nothing was shown: that is not "${name}".`, {
    hint: 'Run the same command again.',
  });
}

async function show(name: string, options: KeyOptions): Promise<void> {
  const environment = await loadEnvironment(projectDirectory(options.project), name);
  const again = options.again === true;
  if (again) await confirmAgain(environment);
  const { host, events } = await ask(environment, options, { action: 'show', ...(again ? { again } : {}) });
  const key = events.find((event) => event.type === 'backup.key')?.key ?? '';
  const paint = paintFor(process.stderr);
  say(`The key of ${environment.app}'s backups on ${paint.bold(host)}, shown this once:\n`);
  process.stdout.write(`${key}\n`);
  say(
    `\nKeep it where the end of ${host} is not its end: a password manager, a paper in a safe. Without it nobody can\n` +
      `read the backups; with it anybody who gets at them can. Then prove that the copy is right:\n\n` +
      `  deploy backup key verify ${name}\n`,
  );
}

function opening(answer: Answered): readonly string[] {
  return answer.events.flatMap((event) => (event.type === 'backup.key-proven' ? event.opened : []));
}

async function verify(name: string, options: KeyOptions): Promise<void> {
  const environment = await loadEnvironment(projectDirectory(options.project), name);
  const answer = await ask(environment, options, { action: 'verify', key: await readCopy() });
  const paint = paintFor(process.stdout);
  const lines = opening(answer).map((what) => `  ${paint.green('✓')} opened ${what}\n`);
  process.stdout.write(`${lines.join('')}Your copy is the key of ${environment.app}'s backups on ${answer.host}.\n`);
}

async function install(name: string, options: KeyOptions): Promise<void> {
  const environment = await loadEnvironment(projectDirectory(options.project), name);
  const answer = await ask(environment, options, { action: 'install', key: await readCopy() });
  const paint = paintFor(process.stdout);
  const opened = opening(answer);
  const lines = opened.map((what) => `  ${paint.green('✓')} opened ${what}\n`);
  const rest = opened.length === 0 ? ', which opens the repositories with it' : '';
  process.stdout.write(`${lines.join('')}The key is on ${answer.host}. Now run \`deploy up ${name}\`${rest}.\n`);
}

function action(command: Command, name: string, summary: string, act: typeof show): Command {
  return command
    .command(name)
    .description(summary)
    .argument('<environment>', 'the environment: a file below inventory/, without .yaml')
    .option('--host <name>', 'the host, where there are several: each has its own key')
    .option('--project <folder>', 'the folder that holds inventory/')
    .action(async (environment: string, options: KeyOptions) => act(environment, options));
}

/** Adds `key` with what can be done with it: the key that all backups of a host are encrypted with. */
export function defineBackupKey(command: Command): void {
  const key = command.command('key').description('keep a copy of the key that opens the backups, and prove it');
  action(key, 'show', 'print the key, once, to be kept elsewhere', show).option(
    '--again',
    'though it was shown before; asks for the name of the environment',
  );
  action(key, 'verify', 'prove that a copy, typed or on standard input, opens what is stored', verify);
  action(key, 'install', 'put a copy onto a host that has no key, such as one in the place of a lost one', install);
}
