import { createHash } from 'node:crypto';
import { IMAGE_TIME, type PackedLayer } from './archive.ts';
import type { Layer } from './layer.ts';

/** What the engine is told about a container of an image, in the words of the OCI image configuration. */
interface RunSettings {
  readonly User?: string;
  readonly Env?: readonly string[];
  readonly Entrypoint?: readonly string[];
  readonly Cmd?: readonly string[];
  readonly WorkingDir?: string;
  readonly ExposedPorts?: Readonly<Record<string, object>>;
  readonly Volumes?: Readonly<Record<string, object>>;
  readonly StopSignal?: string;
}

/** An image as it is declared: its layers from the lowest up, and how its containers run. */
export interface Image {
  readonly layers: readonly Layer[];
  readonly run: RunSettings;
  /** Further repositories and tags that the registry answers for with this image. */
  readonly alsoKnownAs?: readonly string[];
}

/** A document of the registry: its bytes and what names them. */
export interface Blob {
  readonly content: Buffer;
  readonly digest: string;
}

/** The search path of every Debian container. */
const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

export const MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json';
const CONFIG_TYPE = 'application/vnd.oci.image.config.v1+json';
const LAYER_TYPE = 'application/vnd.oci.image.layer.v1.tar+gzip';
/** How the OCI image specification and Go name the architectures that Node knows. */
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' };

function blob(value: unknown): Blob {
  const content = Buffer.from(JSON.stringify(value));
  return { content, digest: `sha256:${createHash('sha256').update(content).digest('hex')}` };
}

/** The configuration and the manifest of an image whose layers are packed; equal input gives equal digests. */
export function assemble(image: Image, packed: readonly PackedLayer[]): { config: Blob; manifest: Blob } {
  const created = new Date(IMAGE_TIME * 1000).toISOString();
  const environment = image.run.Env ?? [];
  const path = environment.some((entry) => entry.startsWith('PATH=')) ? [] : [`PATH=${DEFAULT_PATH}`];
  const config = blob({
    created,
    architecture: ARCHITECTURES[process.arch] ?? process.arch,
    os: 'linux',
    config: { ...image.run, Env: [...path, ...environment] },
    rootfs: { type: 'layers', diff_ids: packed.map(({ diffId }) => diffId) },
    history: image.layers.map(({ name }) => ({ created, created_by: `sandbox layer ${name}` })),
  });
  const manifest = blob({
    schemaVersion: 2,
    mediaType: MANIFEST_TYPE,
    config: { mediaType: CONFIG_TYPE, digest: config.digest, size: config.content.length },
    layers: packed.map(({ digest, size }) => ({ mediaType: LAYER_TYPE, digest, size })),
  });
  return { config, manifest };
}
