import type { Host } from '#resources/resource';

/** One package as dpkg knows it. */
export interface InstalledPackage {
  readonly version: string;
  /** dpkg's word for how far it got: `installed`, `half-configured`, `config-files`, … (dpkg-query(1)). */
  readonly status: string;
}

/** States in which an interrupted run leaves a package, and which `dpkg --configure -a` or a reinstallation mends. */
const INTERRUPTED: ReadonlySet<string> = new Set(['half-installed', 'unpacked', 'half-configured']);

/** Whether a package was left in the middle of its installation. */
export function isInterrupted({ status }: InstalledPackage): boolean {
  return INTERRUPTED.has(status);
}

/** Whether a package does its work; one that only waits for a trigger does. */
export function isInstalled(found: InstalledPackage | undefined): boolean {
  return found !== undefined && (found.status === 'installed' || found.status.startsWith('triggers-'));
}

/** The packages in the text of dpkg's status file. */
export function parseStatus(text: string): ReadonlyMap<string, InstalledPackage> {
  const packages = new Map<string, InstalledPackage>();
  for (const paragraph of text.split('\n\n')) {
    const name = /^Package: (.+)$/m.exec(paragraph)?.[1];
    const status = /^Status: \S+ \S+ (\S+)$/m.exec(paragraph)?.[1];
    if (name === undefined || status === undefined) continue;
    packages.set(name, { version: /^Version: (.+)$/m.exec(paragraph)?.[1] ?? '', status });
  }
  return packages;
}

/** Every package of the host as it is now, from dpkg's own file: no program is started. */
export async function packagesNow(host: Host): Promise<ReadonlyMap<string, InstalledPackage>> {
  return parseStatus((await host.readFile('/var/lib/dpkg/status')) ?? '');
}

/** Every package of the host, read once for all that ask in one pass. */
export function readPackages(host: Host): Promise<ReadonlyMap<string, InstalledPackage>> {
  return host.once('dpkg status', () => packagesNow(host));
}

/** Whether dpkg was interrupted: a journal that was not merged, or packages half-way. */
export async function wasInterrupted(host: Host): Promise<boolean> {
  // dpkg names the parts of its journal with digits only, and reads no others.
  const journal = (await host.list('/var/lib/dpkg/updates')).filter((name) => /^\d+$/.test(name));
  return journal.length > 0 || [...(await packagesNow(host)).values()].some(isInterrupted);
}
