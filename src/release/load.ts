import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { asDeployError, DeployError } from '#core/errors';
import { padding, TAR_END, tarHeader } from '#core/tar';
import type { Cargo } from '#protocol/images';
import { explainCompose } from '#resources/compose-failure';
import type { Host } from '#resources/resource';
import { blobFile, hasBlob } from './staging.ts';

type StagedImage = Extract<Cargo, { kind: 'image' }>;

/** Seconds for loading one image: as for pulling one. */
const LOAD = 600;

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

async function* fileOf(path: string, content: Buffer | string): AsyncGenerator<Buffer> {
  if (Buffer.isBuffer(content)) {
    yield tarHeader({ path, size: content.length });
    yield content;
    yield padding(content.length);
    return;
  }
  const { size } = await stat(content);
  yield tarHeader({ path, size });
  yield* createReadStream(content, { highWaterMark: 256 * 1024 });
  yield padding(size);
}

/** What `docker save` would have written, without the layers that the engine has already. */
async function* archive({ config, layers }: StagedImage, name: string): AsyncGenerator<Buffer> {
  const configPath = `${sha256(config)}.json`;
  const pathOf = (layer: string) => `${layer.replace(/^sha256:/, '')}.tar`;
  const manifest = [{ Config: configPath, RepoTags: [name], Layers: layers.map(pathOf) }];
  yield* fileOf('manifest.json', Buffer.from(JSON.stringify(manifest)));
  yield* fileOf(configPath, Buffer.from(config));
  for (const layer of new Set(layers)) if (await hasBlob(layer)) yield* fileOf(pathOf(layer), blobFile(layer));
  yield TAR_END;
}

interface Loaded {
  readonly Id: string;
  readonly RootFS?: { readonly Layers?: readonly string[] };
}

/** Loads an image that the laptop has sent, under a name; the engine checks every layer by its digest. */
export async function loadImage(host: Host, reference: string, cargo: StagedImage, name: string): Promise<void> {
  host.say(`loading ${reference}`);
  const input = Readable.from(archive(cargo, name), { objectMode: false });
  try {
    await host.must(['docker', 'load', '--quiet'], { input, timeout: LOAD });
  } catch (thrown) {
    const error = asDeployError(thrown);
    const known = explainCompose(reference, error);
    if (known?.code === 'disk-full') throw known;
    throw new DeployError('image-not-loaded', `The engine of the host does not take ${reference}: ${error.message}`, {
      hint: 'Run the same command again: what the host lacks is sent anew.',
      cause: error,
    });
  }
  const loaded = await host.docker<Loaded>(`/images/${name}/json`);
  const isIt =
    loaded?.Id === `sha256:${sha256(cargo.config)}` ||
    // The image store of containerd names an image by another document.
    JSON.stringify(loaded?.RootFS?.Layers) === JSON.stringify(cargo.layers);
  if (isIt) return;
  await host.docker(`/images/${name}`, { method: 'DELETE' }).catch(() => undefined);
  throw new DeployError('image-not-loaded', `${reference} was loaded and is another image: ${loaded?.Id ?? 'none'}.`, {
    hint: 'Run the same command again: what the host lacks is sent anew.',
  });
}
