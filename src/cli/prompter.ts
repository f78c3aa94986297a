import { DeployError } from '#core/errors';

/** Whether somebody is there to be asked. */
export function isInteractive(): boolean {
  return process.stdin.isTTY === true && process.stderr.isTTY === true;
}

let turn: Promise<void> | undefined;

/** Settles when nobody is being asked anything any more; undefined where nobody is. */
export function openQuestion(): Promise<void> | undefined {
  return turn;
}

/** Several hosts may want to ask at once; a person answers one after the other. */
async function inTurn<T>(ask: () => Promise<T>): Promise<T> {
  while (turn !== undefined) await turn;
  let done: () => void = () => undefined;
  turn = new Promise((resolve) => {
    done = resolve;
  });
  try {
    return await ask();
  } finally {
    turn = undefined;
    done();
  }
}

// Answers go to standard output, questions never do.
const toTerminal = { output: process.stderr };

/** Asks for something that must not be seen while it is typed. Rejects with `interrupted` on Ctrl-C. */
export async function askSecret(message: string): Promise<string> {
  const { default: inquirer } = await import('inquirer');
  const prompt = inquirer.createPromptModule(toTerminal);
  try {
    const { answer } = await inTurn(() =>
      prompt([{ type: 'password', name: 'answer', message: message.trimEnd(), mask: false }]),
    );
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
    const { answer } = await inTurn(() => prompt([{ type: 'confirm', name: 'answer', message, default: false }]));
    return answer as boolean;
  } catch (error) {
    throw new DeployError('interrupted', 'Nothing was answered.', {
      hint: 'Run the same command again.',
      cause: error,
    });
  }
}

/** Asks for a line of text. Rejects with `interrupted` on Ctrl-C. */
export async function askText(message: string): Promise<string> {
  const { default: inquirer } = await import('inquirer');
  const prompt = inquirer.createPromptModule(toTerminal);
  try {
    const { answer } = await inTurn(() => prompt([{ type: 'input', name: 'answer', message }]));
    return answer as string;
  } catch (error) {
    throw new DeployError('interrupted', 'Nothing was entered.', { hint: 'Run the same command again.', cause: error });
  }
}
