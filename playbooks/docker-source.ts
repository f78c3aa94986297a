import type { Facts } from '#protocol/facts';

/** Where Docker comes from on a host. */
export interface DockerSource {
  /** Docker's own repository, for a distribution without Compose v2. */
  readonly repository: { readonly uri: string; readonly suite: string } | undefined;
  readonly packages: readonly string[];
}

/** From the distribution since Debian 13, which has Compose v2; from Docker's own repository elsewhere. */
export function dockerSource({ os }: Facts): DockerSource {
  if (os.id === 'debian' && Number.parseInt(os.version, 10) >= 13) {
    return { repository: undefined, packages: ['docker.io', 'docker-cli', 'docker-compose'] };
  }
  return {
    repository: { uri: `https://download.docker.com/linux/${os.id}`, suite: os.codename },
    packages: ['docker-ce', 'docker-ce-cli', 'containerd.io', 'docker-compose-plugin'],
  };
}
