import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DeployError } from '#core/errors';

/** The folder that holds `inventory/`: here or above, or the one that was named. */
export function projectDirectory(named?: string): string {
  if (named !== undefined) return resolve(named);
  for (let folder = process.cwd(); ; folder = dirname(folder)) {
    if (existsSync(join(folder, 'inventory'))) return folder;
    if (folder === dirname(folder)) break;
  }
  throw new DeployError('project-missing', `There is no inventory/ folder in ${process.cwd()} or above.`, {
    hint: 'Go to your project, or name it with --project.',
  });
}

/** The folder Slipway itself is installed in: where its templates and its built runner are. */
export function packageDirectory(): string {
  for (let folder = dirname(fileURLToPath(import.meta.url)); folder !== dirname(folder); folder = dirname(folder)) {
    if (existsSync(join(folder, 'package.json')) && existsSync(join(folder, 'templates'))) return folder;
  }
  throw new DeployError('internal', 'The folder of Slipway itself was not found.', { hint: 'Install Slipway again.' });
}

/** The runner as it was built: it lies where this program was built to, or in dist/ where it runs from its sources. */
export function runnerFile(): string {
  const here = dirname(fileURLToPath(import.meta.url));
  const folders = [here, dirname(here), join(packageDirectory(), 'dist')];
  const file = folders.map((folder) => join(folder, 'slipway-host.mjs')).find(existsSync);
  if (file !== undefined) return file;
  throw new DeployError(
    'internal',
    `The runner has not been built: there is no slipway-host.mjs in ${folders.at(-1)}.`,
    {
      hint: 'Build it with `npm run build`.',
    },
  );
}
