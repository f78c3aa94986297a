import { DeployError } from '#core/errors';
import type { Host } from '#resources/resource';

/** The image that a container runs. */
export interface RunningImage {
  /** What this machine's Docker knows it by: nothing needs to be pulled. */
  readonly id: string;
  /** What another machine pulls it by; the id where it came from no registry. */
  readonly digest: string;
}

/** The image of the database's own container: its programs are the ones that match the server. */
export async function imageOf(host: Host, container: string): Promise<RunningImage> {
  const found = await host.docker<{ readonly Image: string }>(`/containers/${container}/json`);
  if (found === undefined) {
    throw new DeployError('backup-failed', `There is no container ${container}.`, {
      hint: 'Start the accessory; `deploy up <environment>` does.',
    });
  }
  const image = await host.docker<{ readonly RepoDigests?: readonly string[] }>(`/images/${found.Image}/json`);
  return { id: found.Image, digest: image?.RepoDigests?.[0] ?? found.Image };
}
