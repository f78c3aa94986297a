import * as z from 'zod';
import { APT_PATIENCE, installPackages, patienceOf, removalSet, removePackages, repairPackages } from '#resources/apt';
import { broughtAlong } from '#resources/apt-brought';
import { type InstalledPackage, isInstalled, isInterrupted, packagesNow, readPackages } from '#resources/dpkg';
import { defineKind, type Host } from '#resources/resource';

const props = z.strictObject({
  /** As Debian names it (Debian policy 5.6.7). A virtual package is never found installed: name a real one. */
  name: z.string().regex(/^[a-z0-9][a-z0-9+.-]+$/),
  /** Seconds to wait for another program that works with packages. */
  patience: z.number().positive().default(APT_PATIENCE),
});

async function remove(host: Host, footprint: Record<string, unknown>): Promise<void> {
  const name = footprint['name'] as string;
  const patience = patienceOf(APT_PATIENCE);
  await repairPackages(host, patience);
  if (!isInstalled((await packagesNow(host)).get(name))) return;
  const all = await removalSet(host, ['remove', '--auto-remove', name]);
  const needing = all.length === 1 ? [] : (await removalSet(host, ['remove', name])).filter((other) => other !== name);
  if (needing.length > 0) {
    // It goes with the last that needs it, as whatever came along does.
    await host.must(['apt-mark', 'auto', name]);
    host.say(`${name} stays as long as ${needing.join(', ')} needs it`);
    return;
  }
  const brought = await broughtAlong(host);
  const along = all.filter((other) => other !== name && brought.has(other));
  const closed = along.length === 0 || (await removalSet(host, ['remove', name, ...along])).length === along.length + 1;
  await removePackages(host, closed ? [name, ...along] : [name], patience);
}

/** A package of the distribution, without what it only recommends. */
export const aptPackageKind = defineKind({
  kind: 'apt-package',
  summary: 'A package of the distribution, without what it only recommends.',
  props,
  id: ({ name }) => name,
  async read(host, { name }): Promise<InstalledPackage | undefined> {
    const found = (await readPackages(host)).get(name);
    return found === undefined || found.status === 'config-files' || found.status === 'not-installed'
      ? undefined
      : found;
  },
  diff(state, { name }) {
    if (isInstalled(state)) return [];
    if (state !== undefined && isInterrupted(state)) return [{ summary: `finish the installation of ${name}` }];
    return [{ summary: `install ${name}` }];
  },
  apply: (host, { name, patience }) => installPackages(host, [name], patienceOf(patience)),
  applyAll: (host, all) =>
    installPackages(
      host,
      all.map(({ name }) => name),
      patienceOf(Math.max(...all.map(({ patience }) => patience))),
    ),
  footprint: ({ name }) => ({ name }),
  remove,
});
