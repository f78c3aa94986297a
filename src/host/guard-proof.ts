import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DeployError } from '#core/errors';
import { readTextIfThere } from './files.ts';
import { PATHS } from './paths.ts';

/** Where a guard keeps its snapshot and how far it is. */
export function guardFolder(id: string): string {
  return join(PATHS.guards, id);
}

/**
 * Called as root through a login: that this runs is the proof, for one address family. Whether that login was a fresh one
 * or, where none is possible, the connection that was open already, is for the laptop to say.
 */
export async function markProven(id: string, family: string, through: string): Promise<void> {
  if (!/^[a-z0-9-]+$/.test(id) || !/^[46]$/.test(family) || !/^(fresh|open)$/.test(through)) {
    throw new DeployError('usage', `${id} ${family} ${through} is no proof.`, {
      hint: 'This command is for Slipway itself.',
    });
  }
  const folder = guardFolder(id);
  if ((await readTextIfThere(join(folder, 'armed'))) === undefined) {
    throw new DeployError('guard-undone', `The guard ${id} is not waiting for a proof any more.`, {
      hint: 'The host has undone the change; run `deploy up` again.',
    });
  }
  // Renamed into place, so that whoever sees it sees all of it.
  await writeFile(join(folder, `.proven-${family}`), through, { mode: 0o600 });
  await rename(join(folder, `.proven-${family}`), join(folder, `proven-${family}`));
}
