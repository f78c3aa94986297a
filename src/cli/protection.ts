import { askText, isInteractive } from '#cli/prompter';
import { DeployError } from '#core/errors';
import type { Environment } from '#inventory/environment';

/** Lets a change to a protected environment go on only where somebody has typed its name, or `--yes` was given. */
export async function confirmProtected(environment: Environment, doing: string, yes: boolean): Promise<void> {
  const { name } = environment;
  if (!environment.protected || yes) return;
  if (!isInteractive()) {
    throw new DeployError('not-confirmed', `${name} is protected, and nobody is here to confirm to ${doing}.`, {
      hint: 'Add --yes where no person is meant to be asked.',
    });
  }
  await demandName(name, `${name} is protected. Type its name to ${doing}:`);
}

async function demandName(name: string, question: string): Promise<void> {
  if ((await askText(question)).trim() === name) return;
  throw new DeployError('not-confirmed', `Nothing was changed: that is not "${name}".`, {
    hint: 'Run the same command again, or add --yes.',
  });
}

/** Lets what loses data go on only where somebody has typed the environment's name, protected or not, or gave `--yes`. */
export async function confirmLoss({ name }: Environment, doing: string, yes: boolean): Promise<void> {
  if (yes) return;
  if (!isInteractive()) {
    throw new DeployError('not-confirmed', `Nobody is here to confirm to ${doing}.`, {
      hint: 'Add --yes where no person is meant to be asked.',
    });
  }
  await demandName(name, `Type ${name} to ${doing}:`);
}
