import { DeployError } from '#core/errors';

/** Whether somebody is there to be asked. */
export function isInteractive(): boolean {
  return process.stdin.isTTY === true && process.stderr.isTTY === true;
}

// Answers go to standard output, questions never do.
const toTerminal = { output: process.stderr };

/** Asks for something that must not be seen while it is typed. Rejects with `interrupted` on Ctrl-C. */
export async function askSecret(message: string): Promise<string> {
  const { default: inquirer } = await import('inquirer');
  const prompt = inquirer.createPromptModule(toTerminal);
  try {
    const { answer } = await prompt([{ type: 'password', name: 'answer', message, mask: false }]);
    return answer as string;
  } catch (error) {
    throw new DeployError('interrupted', 'Nothing was entered.', { hint: 'Run the same command again.', cause: error });
  }
}

/** Asks a question that is answered with yes or no; no is the default. */
export async function confirm(message: string): Promise<boolean> {
  const { default: inquirer } = await import('inquirer');
  const prompt = inquirer.createPromptModule(toTerminal);
  try {
    const { answer } = await prompt([{ type: 'confirm', name: 'answer', message, default: false }]);
    return answer as boolean;
  } catch (error) {
    throw new DeployError('interrupted', 'Nothing was answered.', {
      hint: 'Run the same command again.',
      cause: error,
    });
  }
}
