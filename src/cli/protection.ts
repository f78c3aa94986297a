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
  if ((await askText(`${name} is protected. Type its name to ${doing}:`)).trim() === name) return;
  throw new DeployError('not-confirmed', `Nothing was changed: that is not "${name}".`, {
    hint: 'Run the same command again, or add --yes.',
  });
}
