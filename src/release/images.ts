import { asDeployError, DeployError } from '#core/errors';
import { explainCompose } from '#resources/compose-failure';
import type { Host } from '#resources/resource';

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

interface Image {
  readonly Id: string;
  readonly RepoDigests?: readonly string[];
  readonly Architecture: string;
}

/** Seconds for pulling one image: ten minutes at 5 MB/s is 3 GB. */
const PULL = 600;

const find = (host: Host, reference: string): Promise<Image | undefined> =>
  host.docker<Image>(`/images/${reference}/json`);

/** The repository of a reference, without its tag and digest. */
export function repositoryOf(reference: string): string {
  const name = reference.split('@')[0] ?? reference;
  const colon = name.lastIndexOf(':');
  return colon > name.lastIndexOf('/') ? name.slice(0, colon) : name;
}

/** The name an image is held by on the host; it says the tag, for whoever reads `docker ps`. */
export function pinnedName(app: string, reference: string, id: string): string {
  const name = reference.split('@')[0] ?? reference;
  const tag = name.slice(repositoryOf(reference).length + 1);
  const hash = id.replace(/^sha256:/, '').slice(0, 12);
  return `slipway/${app}:${tag === '' ? hash : `${tag.slice(0, 100)}-${hash}`}`;
}

async function pull(host: Host, reference: string): Promise<Image> {
  host.say(`pulling ${reference}`);
  try {
    await host.must(['docker', 'pull', '--quiet', reference], { timeout: PULL });
  } catch (thrown) {
    throw explainCompose(reference, asDeployError(thrown)) ?? thrown;
  }
  const image = await find(host, reference);
  if (image !== undefined) return image;
  throw new DeployError('image-not-found', `${reference} was pulled and is not on the host.`, {
    hint: 'Look at `docker images` on the host, then run the same command again.',
  });
}

async function refuseForeign(host: Host, reference: string, { Architecture }: Image): Promise<void> {
  if (Architecture === '' || Architecture === host.facts.arch) return;
  const emulator = Architecture === 'arm64' ? 'qemu-aarch64' : `qemu-${Architecture}`;
  if ((await host.list('/proc/sys/fs/binfmt_misc')).includes(emulator)) return;
  throw new DeployError(
    'release-rejected',
    `${reference} is built for ${Architecture}, and ${host.facts.hostname} is ${host.facts.arch}.`,
    { hint: `Traffic was not touched. Build it with \`--platform linux/${host.facts.arch}\` and release that.` },
  );
}

async function hold(host: Host, app: string, declared: string, image: Image): Promise<PinnedImage> {
  const pinned = pinnedName(app, declared, image.Id);
  const [repo, tag] = [pinned.slice(0, pinned.lastIndexOf(':')), pinned.slice(pinned.lastIndexOf(':') + 1)];
  await host.docker(`/images/${image.Id}/tag?repo=${encodeURIComponent(repo)}&tag=${encodeURIComponent(tag)}`, {
    method: 'POST',
  });
  const repository = repositoryOf(declared);
  const digest = image.RepoDigests?.find((known) => repositoryOf(known) === repository);
  return { declared, digest: digest ?? image.Id, id: image.Id, pinned };
}

/** Brings the images that are missing and gives each a name that holds it. Rejects by the cause where one cannot be had. */
export async function pinImages(
  host: Host,
  app: string,
  images: Readonly<Record<string, string>>,
): Promise<Readonly<Record<string, PinnedImage>>> {
  const known = new Map<string, Promise<PinnedImage>>();
  const pin = async (reference: string): Promise<PinnedImage> => {
    const image = (await find(host, reference)) ?? (await pull(host, reference));
    await refuseForeign(host, reference, image);
    return hold(host, app, reference, image);
  };
  const entries = Object.entries(images).map(async ([service, reference]) => {
    const pinning = known.get(reference) ?? pin(reference);
    known.set(reference, pinning);
    return [service, await pinning] as const;
  });
  return Object.fromEntries(await Promise.all(entries));
}

/** Sees to it that a kept release's images are on the host: by their own name, else by id, else from the registry by digest. */
export async function recallImages(host: Host, app: string, images: Iterable<PinnedImage>): Promise<void> {
  for (const image of images) {
    if ((await find(host, image.pinned)) !== undefined) continue;
    const found = (await find(host, image.id)) ?? (await pull(host, image.digest));
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
  const needed = new Set(kept.flatMap(({ pinned, declared }) => [pinned, declared]));
  const filters = encodeURIComponent(JSON.stringify({ reference: [`slipway/${app}`] }));
  const held = (await host.docker<{ RepoTags?: string[] }[]>(`/images/json?filters=${filters}`)) ?? [];
  const surplus = held.flatMap(({ RepoTags }) => RepoTags ?? []).filter((name) => name.startsWith(`slipway/${app}:`));
  for (const name of surplus) if (!needed.has(name)) await remove(host, name);
  for (const { declared, id } of gone) {
    if (!needed.has(declared) && (await find(host, declared))?.Id === id) await remove(host, declared);
  }
}

async function remove(host: Host, name: string): Promise<void> {
  // 409: a container that was kept for a look still uses it.
  await host.docker(`/images/${name}`, { method: 'DELETE' }).catch(() => undefined);
}
