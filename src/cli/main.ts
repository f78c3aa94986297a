import { Command, CommanderError } from 'commander';
import { printError } from '#cli/print-error';
import { VERBS } from '#cli/verbs/index';
import { EXIT } from '#core/error-codes';
import { asDeployError } from '#core/errors';

declare const SLIPWAY_VERSION: string | undefined;

const VERSION = typeof SLIPWAY_VERSION === 'string' ? SLIPWAY_VERSION : 'from source';

/** Runs the command line and resolves with the process's exit code. */
export async function main(argv: readonly string[]): Promise<number> {
  const program = new Command('deploy')
    .description('From a bare VPS to production over SSH, and kept there.')
    .version(VERSION)
    .helpCommand(false)
    .enablePositionalOptions()
    .showHelpAfterError(true)
    .showSuggestionAfterError(true)
    .exitOverride();
  const wanted = argv.find((word) => !word.startsWith('-'));
  for (const [name, { summary }] of Object.entries(VERBS)) program.command(name).description(summary);
  const entry = wanted === undefined ? undefined : VERBS[wanted];
  const command = program.commands.find((candidate) => candidate.name() === wanted);
  let code: number = EXIT.done;
  try {
    if (entry !== undefined && command !== undefined) {
      const { verb } = await entry.load();
      command.exitOverride();
      verb.define(command);
      for (const sub of command.commands) sub.exitOverride();
      process.exitCode = undefined;
    }
    await program.parseAsync(argv, { from: 'user' });
    code = typeof process.exitCode === 'number' ? process.exitCode : EXIT.done;
  } catch (thrown) {
    if (thrown instanceof CommanderError) return thrown.exitCode === 0 ? EXIT.done : EXIT.usage;
    const error = asDeployError(thrown);
    printError(error);
    code = error.exitCode;
  }
  return code;
}

// Whoever reads only the beginning (`| head`) has read enough; what was begun on a host still has to be proven.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
}

process.exitCode = await main(process.argv.slice(2));
