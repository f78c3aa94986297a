import * as z from 'zod';
import { APT_PATIENCE, installPackages, patienceOf, removalSet, removePackage, repairPackages } from '#resources/apt';
import { type InstalledPackage, isInstalled, isInterrupted, readPackages } from '#resources/dpkg';
import { defineKind, type Host } from '#resources/resource';

const props = z.strictObject({
  /** As Debian names it (Debian policy 5.6.7). A virtual package is never found installed: name a real one. */
  name: z.string().regex(/^[a-z0-9][a-z0-9+.-]+$/),
  /** Seconds to wait for another program that works with packages. */
  patience: z.number().positive().default(APT_PATIENCE),
});

/** Packages that had to stay because others still needed them when their turn came, by host. */
const postponed = new WeakMap<Host, Set<string>>();

async function removeIfUnneeded(host: Host, name: string): Promise<readonly string[]> {
  const others = (await removalSet(host, name)).filter((other) => other !== name);
  if (others.length === 0) await removePackage(host, name, patienceOf(APT_PATIENCE));
  return others;
}

async function remove(host: Host, footprint: Record<string, unknown>): Promise<void> {
  const name = footprint['name'] as string;
  const waiting = postponed.get(host) ?? new Set<string>();
  postponed.set(host, waiting);
  await repairPackages(host, patienceOf(APT_PATIENCE));
  if (!isInstalled((await readPackages(host)).get(name))) return;
  const others = await removeIfUnneeded(host, name);
  if (others.length > 0) {
    waiting.add(name);
    await host.must(['apt-mark', 'auto', name]);
    host.warn(`${name} stays on the host as long as it needs ${others.join(', ')}.`);
    return;
  }
  for (const earlier of waiting) {
    if ((await removeIfUnneeded(host, earlier)).length === 0) waiting.delete(earlier);
  }
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
