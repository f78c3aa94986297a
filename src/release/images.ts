import { asDeployError, DeployError } from '#core/errors';
import { repositoryOf } from '#core/image-name';
import { explainCompose } from '#resources/compose-failure';
import type { ReleaseProps } from '#resources/release';
import type { Host } from '#resources/resource';
import type { Identities } from './identities.ts';
import { vouchedImage } from './vouched.ts';

/** An image as a release holds on to it: a moved tag changes nothing, and neither does a registry that is gone. */
export interface PinnedImage {
  /** As the inventory names it. */
  readonly declared: string;
  /** `repository@sha256:…` where a registry gave it, else the local image's id. */
  readonly digest: string;
  /** The image's id on this host. */
  readonly id: string;
  /** A name of our own on this host, so that no pruning of dangling images takes it away. */
  readonly pinned: string;
}

export interface Image {
  readonly Id: string;
  readonly RepoDigests?: readonly string[];
  readonly Architecture: string;
}

/** Seconds for pulling one image: ten minutes at 5 MB/s is 3 GB. */
const PULL = 600;

/** An image on the host, by any of its names or its id; undefined where there is none. */
export const findImage = (host: Host, reference: string): Promise<Image | undefined> =>
  host.docker<Image>(`/images/${reference}/json`);

/** The name an image is held by on the host; it says the tag, for whoever reads `docker ps`. */
export function pinnedName(app: string, reference: string, id: string): string {
  const name = reference.split('@')[0] ?? reference;
  const tag = name.slice(repositoryOf(reference).length + 1);
  const hash = id.replace(/^sha256:/, '').slice(0, 12);
  return `slipway/${app}:${tag === '' ? hash : `${tag.slice(0, 100)}-${hash}`}`;
}

/** Brings an image from its registry. By its digest, if that is known: the tag may move in between. */
async function pull(host: Host, reference: string, digest = reference): Promise<Image> {
  host.say(`pulling ${reference}`);
  try {
    await host.must(['docker', 'pull', '--quiet', digest], { timeout: PULL });
  } catch (thrown) {
    throw explainCompose(reference, asDeployError(thrown)) ?? thrown;
  }
  const image = await findImage(host, digest);
  // What names a digest itself cannot be a tag as well, and Docker refuses to make it one.
  const isTag = digest !== reference && !reference.includes('@');
  if (image !== undefined && isTag) await nameImage(host, image.Id, reference);
  if (image !== undefined) return image;
  throw new DeployError('image-not-found', `${reference} was pulled and is not on the host.`, {
    hint: 'Look at `docker images` on the host, then run the same command again.',
  });
}

/** Refuses an image that the host cannot run. */
export async function refuseForeign(host: Host, reference: string, architecture: string): Promise<void> {
  if (architecture === '' || architecture === host.facts.arch) return;
  const emulator = architecture === 'arm64' ? 'qemu-aarch64' : `qemu-${architecture}`;
  if ((await host.list('/proc/sys/fs/binfmt_misc')).includes(emulator)) return;
  throw new DeployError(
    'release-rejected',
    `${reference} is built for ${architecture}, and ${host.facts.hostname} is ${host.facts.arch}.`,
    { hint: `Traffic was not touched. Build it with \`--platform linux/${host.facts.arch}\` and release that.` },
  );
}

async function nameImage(host: Host, id: string, name: string): Promise<void> {
  const repository = repositoryOf(name);
  const tag = name.slice(repository.length + 1) || 'latest';
  await host.docker(`/images/${id}/tag?repo=${encodeURIComponent(repository)}&tag=${encodeURIComponent(tag)}`, {
    method: 'POST',
  });
}

/** `identity` is what the image is known to be: a digest, or what a laptop vouches for, and then it is known by that. */
async function hold(host: Host, app: string, declared: string, image: Image, identity?: string): Promise<PinnedImage> {
  const pinned = pinnedName(app, declared, identity?.startsWith('sha256:') === true ? identity : image.Id);
  await nameImage(host, image.Id, pinned);
  if (identity !== undefined) return { declared, digest: identity, id: image.Id, pinned };
  const repository = repositoryOf(declared);
  const digest = image.RepoDigests?.find((known) => repositoryOf(known) === repository);
  return { declared, digest: digest ?? image.Id, id: image.Id, pinned };
}

/**
 * Brings the images that are missing, or whose tag has moved, and gives each a name that holds it. Rejects by the cause
 * where one cannot be had.
 */
export async function pinImages(
  host: Host,
  app: string,
  { images, pins = {} }: Pick<ReleaseProps, 'images' | 'pins'>,
  identities: Identities,
): Promise<Readonly<Record<string, PinnedImage>>> {
  const known = new Map<string, Promise<PinnedImage>>();
  const pin = async (reference: string): Promise<PinnedImage> => {
    const identity = identities.get(reference);
    const vouched = pins[reference];
    if (vouched !== undefined) {
      return hold(host, app, reference, await vouchedImage(host, app, reference, vouched), vouched);
    }
    const there = await findImage(host, reference);
    const isIt = there !== undefined && (identity === undefined || isImage(there, identity));
    const image = isIt ? there : await pull(host, reference, identity);
    await refuseForeign(host, reference, image.Architecture);
    return hold(host, app, reference, image, identity);
  };
  const entries = Object.entries(images).map(async ([service, reference]) => {
    const pinning = known.get(reference) ?? pin(reference);
    known.set(reference, pinning);
    return [service, await pinning] as const;
  });
  return Object.fromEntries(await Promise.all(entries));
}

/** Whether an image is the one of a digest, `repository@sha256:…`, or of an id. */
export function isImage({ Id, RepoDigests }: Image, identity: string): boolean {
  const digest = identity.slice(identity.indexOf('@') + 1);
  return Id === digest || (RepoDigests ?? []).some((known) => known.endsWith(`@${digest}`));
}

async function again(host: Host, { declared, digest, pinned }: PinnedImage): Promise<Image> {
  if (digest.includes('@')) return pull(host, digest);
  throw new DeployError(
    'image-not-found',
    `${declared} (${pinned}) is no longer on the host, and no registry has it.`,
    {
      hint: 'Traffic was not touched. Release it anew from where it was made: `deploy release <environment> --images local`.',
    },
  );
}

/** Sees to it that a kept release's images are on the host: by their own name, else by id, else from the registry by digest. */
export async function recallImages(host: Host, app: string, images: Iterable<PinnedImage>): Promise<void> {
  for (const image of images) {
    if ((await findImage(host, image.pinned)) !== undefined) continue;
    const found = (await findImage(host, image.id)) ?? (await again(host, image));
    await hold(host, app, image.declared, found);
  }
}

/** Lets go of the images that no kept release needs. What a container still uses stays until the next time. */
export async function dropImages(
  host: Host,
  app: string,
  kept: readonly PinnedImage[],
  gone: readonly PinnedImage[],
): Promise<void> {
  const needed = new Set(kept.flatMap(({ pinned, declared, digest }) => [pinned, declared, digest]));
  const filters = encodeURIComponent(JSON.stringify({ reference: [`slipway/${app}`] }));
  const held = (await host.docker<{ RepoTags?: string[] }[]>(`/images/json?filters=${filters}`)) ?? [];
  const surplus = held.flatMap(({ RepoTags }) => RepoTags ?? []).filter((name) => name.startsWith(`slipway/${app}:`));
  for (const name of surplus) if (!needed.has(name)) await remove(host, name);
  for (const { declared, digest, id } of gone) {
    if (!needed.has(declared) && (await findImage(host, declared))?.Id === id) await remove(host, declared);
    // The digest alone holds an image whose tag has moved on.
    if (!needed.has(digest) && digest.includes('@')) await remove(host, digest);
  }
}

async function remove(host: Host, name: string): Promise<void> {
  // 409: a container that was kept for a look still uses it.
  await host.docker(`/images/${name}`, { method: 'DELETE' }).catch(() => undefined);
}
