import type { Host } from '#resources/resource';

/** One file of a configuration that is spread over several. */
export interface DropIn {
  readonly path: string;
  readonly content: string;
}

/**
 * The files of folders that hide one another's by name, the first folder winning, in the order of their names: how
 * systemd, sysctl.d and modprobe.d read theirs.
 */
export async function overriding(host: Host, folders: readonly string[], suffix: string): Promise<readonly DropIn[]> {
  const paths = new Map<string, string>();
  for (const folder of folders) {
    for (const name of await host.list(folder)) {
      if (name.endsWith(suffix) && !paths.has(name)) paths.set(name, `${folder}/${name}`);
    }
  }
  const inOrder = [...paths].sort(([one], [other]) => (one < other ? -1 : 1));
  return Promise.all(
    inOrder.map(async ([, path]) => ({ path, content: (await host.readFile(path).catch(() => undefined)) ?? '' })),
  );
}
