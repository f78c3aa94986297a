import { createHash } from 'node:crypto';
import { asDeployError } from '#core/errors';
import { repositoryOf } from '#core/image-name';
import type { ReleaseProps } from '#resources/release';
import type { Host } from '#resources/resource';
import { findImage, type Image } from './images.ts';
import { registryLogin } from './registry-login.ts';

/** What each image is, by its reference: `repository@sha256:…`, or the id of one that came from no registry. */
export type Identities = ReadonlyMap<string, string>;

/** Seconds a registry has to name a digest: one that is gone must not hold up a release whose image is here. */
const PATIENCE = 5;

interface Distribution {
  readonly Descriptor?: { readonly digest?: string };
}

async function askRegistry(host: Host, reference: string): Promise<string | undefined> {
  const headers = await registryLogin(host, reference);
  const found = await host.docker<Distribution>(`/distribution/${reference}/json`, { timeout: PATIENCE, headers });
  return found?.Descriptor?.digest;
}

function ownDigest({ Id, RepoDigests }: Image, repository: string): string {
  return RepoDigests?.find((known) => repositoryOf(known) === repository) ?? Id;
}

/** What a reference stands for now: as its registry has it, and where that does not say, as this host has it. */
async function identify(host: Host, reference: string): Promise<string | undefined> {
  const repository = repositoryOf(reference);
  const digest = reference.split('@')[1];
  if (digest !== undefined) return `${repository}@${digest}`;
  const image = await findImage(host, reference);
  // It was made or loaded here, and no registry knows better.
  if (image !== undefined && (image.RepoDigests ?? []).length === 0) return image.Id;
  try {
    const now = await askRegistry(host, reference);
    if (now !== undefined) return `${repository}@${now}`;
  } catch (thrown) {
    if (image !== undefined) {
      const why = asDeployError(thrown).message;
      host.warn(`Whether ${reference} has moved is not known; the image that this host has is taken: ${why}`);
    }
  }
  return image === undefined ? undefined : ownDigest(image, repository);
}

/** What the images of a release are now; a laptop's word for one is taken. What could not be found out is missing; the pull will say why. */
export async function identitiesOf(
  host: Host,
  { images, pins = {} }: Pick<ReleaseProps, 'images' | 'pins'>,
): Promise<Identities> {
  const known = await Promise.all(
    [...new Set(Object.values(images))].map(async (reference) => {
      const identity =
        pins[reference] ?? (await host.once(`identity of ${reference}`, () => identify(host, reference)));
      return identity === undefined ? [] : [[reference, identity] as const];
    }),
  );
  return new Map(known.flat());
}

/** The name of what is declared together with what its images are: two images of one tag are two releases. */
export function releaseIdOf(declared: string, identities: Identities): string {
  const content = [declared, ...[...identities].sort(([a], [b]) => (a < b ? -1 : 1))];
  return createHash('sha256').update(JSON.stringify(content)).digest('hex').slice(0, 12);
}
