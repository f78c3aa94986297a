import { busybox } from './busybox.ts';
import { ensureLayers } from './cache.ts';
import { demo } from './demo.ts';
import { assemble, type Image } from './image.ts';
import { mariadb } from './mariadb.ts';
import { pgbouncer } from './pgbouncer.ts';
import { postgres } from './postgres.ts';
import { redis } from './redis.ts';
import { openRegistry, type Registry, type RegistryAddress } from './registry.ts';

/** Every image of the sandbox, by the name and tag that its registry serves it under. */
const IMAGES = {
  'postgres:17': () => postgres,
  'redis:8': () => redis,
  'mariadb:11': () => mariadb,
  'pgbouncer:1': () => pgbouncer,
  'busybox:1': () => busybox,
  'demo:v1': () => demo({ version: 'v1' }),
  'demo:v2': () => demo({ version: 'v2' }),
  'demo:crash': () => demo({ version: 'crash', mode: 'crash' }),
  'demo:unhealthy': () => demo({ version: 'unhealthy', mode: 'unhealthy' }),
} as const satisfies Record<string, () => Image | Promise<Image>>;

export type ImageName = keyof typeof IMAGES;

/** The names of all images, in the order in which they are pushed. */
export const IMAGE_NAMES = Object.keys(IMAGES) as ImageName[];

/** An image as the registry serves it. */
interface PublishedImage {
  /** `host/name:tag`. */
  readonly reference: string;
  /** `sha256:…` of the manifest. */
  readonly digest: string;
}

interface EnsureImages extends RegistryAddress {
  /** All by default. */
  readonly names?: readonly ImageName[];
  /** Told in a few words what takes time; nothing is said where everything is there already. */
  readonly onProgress?: (text: string) => void;
}

function split(name: string): [repository: string, tag: string] {
  const colon = name.lastIndexOf(':');
  return [name.slice(0, colon), name.slice(colon + 1)];
}

/** The tags that the registry lacks or has with another content. */
async function stale(registry: Registry, tags: readonly string[], digest: string): Promise<string[]> {
  const known = await Promise.all(tags.map((tag) => registry.digestOf(...split(tag))));
  return tags.filter((_tag, index) => known[index] !== digest);
}

/**
 * Sees to it that the registry serves the sandbox's images: builds the layers that the cache lacks and pushes what the
 * registry lacks. Throws `sandbox-image-failed` where that cannot be done.
 */
export async function ensureImages(options: EnsureImages): Promise<Record<ImageName, PublishedImage>> {
  const { names = IMAGE_NAMES, onProgress = () => undefined } = options;
  const images = await Promise.all(names.map(async (name) => [name, (await IMAGES[name]()) as Image] as const));
  const layers = await ensureLayers(
    images.flatMap(([, image]) => image.layers),
    onProgress,
  );
  const registry = openRegistry(options);
  try {
    const published: Partial<Record<ImageName, PublishedImage>> = {};
    const plans = await Promise.all(
      images.map(async ([name, image]) => {
        const packed = image.layers.flatMap((layer) => layers.get(layer) ?? []);
        const { config, manifest } = assemble(image, packed);
        published[name] = { reference: `${options.registry}/${name}`, digest: manifest.digest };
        const tags = await stale(registry, [name, ...(image.alsoKnownAs ?? [])], manifest.digest);
        return { tags, packed, config, manifest };
      }),
    );
    // One after the other: images share layers, and each layer is to travel once.
    for (const { tags, packed, config, manifest } of plans) {
      for (const tag of tags) {
        onProgress(`Pushing ${tag}`);
        const [repository, version] = split(tag);
        for (const layer of packed) await registry.pushLayer(repository, layer);
        await registry.pushBlob(repository, config);
        await registry.pushManifest(repository, version, manifest);
      }
    }
    return published as Record<ImageName, PublishedImage>;
  } finally {
    registry.close();
  }
}
