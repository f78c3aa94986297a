import { createHash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import * as z from 'zod';
import { DeployError } from '#core/errors';
import { BrokenArchive, type Indexed, indexTar } from './tar-index.ts';

/** A layer in an archive. */
export interface ArchivedLayer extends Indexed {
  /** `sha256:…` of the layer before any compression. */
  readonly diffId: string;
  /** `sha256:…` that its bytes in the archive have to have; undefined where nothing says so. */
  readonly digest: string | undefined;
  readonly isCompressed: boolean;
}

/** An image in an archive. */
export interface ArchivedImage {
  /** The names it was saved by. */
  readonly names: readonly string[];
  /** `sha256:…` of its configuration. */
  readonly id: string;
  readonly config: string;
  /** As Go and the OCI name it. */
  readonly architecture: string;
  /** From the lowest up. */
  readonly layers: readonly ArchivedLayer[];
}

/** A file that `docker save` wrote, or that is as if it had. */
export interface Archive extends AsyncDisposable {
  readonly path: string;
  readonly images: readonly ArchivedImage[];
  /** A layer as it lies in the archive; rejects where it is not what it should be. */
  read(layer: ArchivedLayer): AsyncGenerator<Buffer>;
}

const manifestSchema = z.array(
  z.object({ Config: z.string(), RepoTags: z.array(z.string()).nullish(), Layers: z.array(z.string()) }),
);

const configSchema = z.object({
  architecture: z.string(),
  rootfs: z.object({ diff_ids: z.array(z.string().regex(/^sha256:[0-9a-f]{64}$/)) }),
});

/** Bytes of a manifest or a configuration; one that is longer is none. */
const LONGEST_TEXT = 8 * 1024 ** 2;
const PIECE = 256 * 1024;
const GZIP = Buffer.from([0x1f, 0x8b]);
const ZSTD = Buffer.from([0x28, 0xb5, 0x2f, 0xfd]);

async function bytesAt(file: FileHandle, { offset, size }: Indexed): Promise<Buffer> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(size), 0, size, offset);
  if (bytesRead < size) throw new BrokenArchive('it ends in the middle');
  return buffer;
}

async function layerOf(file: FileHandle, name: string, where: Indexed, diffId: string): Promise<ArchivedLayer> {
  const start = await bytesAt(file, { offset: where.offset, size: Math.min(4, where.size) });
  const isCompressed = start.subarray(0, 2).equals(GZIP) || start.equals(ZSTD);
  const named = /(?:^|\/)blobs\/sha256\/([0-9a-f]{64})$/.exec(name)?.[1];
  const digest = named === undefined ? (isCompressed ? undefined : diffId) : `sha256:${named}`;
  return { ...where, diffId, digest, isCompressed };
}

async function imagesIn(file: FileHandle): Promise<readonly ArchivedImage[]> {
  const index = await indexTar(file);
  const text = async (path: string): Promise<string> => {
    const found = index.get(path);
    if (found === undefined || found.size > LONGEST_TEXT) throw new BrokenArchive(`it has no ${path}`);
    return (await bytesAt(file, found)).toString('utf8');
  };
  if (!index.has('manifest.json') && index.has('index.json')) {
    throw new BrokenArchive('it is an OCI layout; write it with `--output type=docker`');
  }
  const manifest = manifestSchema.parse(JSON.parse(await text('manifest.json')));
  return Promise.all(
    manifest.map(async ({ Config, RepoTags, Layers }): Promise<ArchivedImage> => {
      const config = await text(Config);
      const { architecture, rootfs } = configSchema.parse(JSON.parse(config));
      if (rootfs.diff_ids.length !== Layers.length) {
        throw new BrokenArchive(`it has ${Layers.length} layers of an image with ${rootfs.diff_ids.length}`);
      }
      const layers = await Promise.all(
        Layers.map((name, at) => {
          const where = index.get(name);
          if (where === undefined) throw new BrokenArchive(`its layer ${name} is missing`);
          return layerOf(file, name, where, rootfs.diff_ids[at] ?? '');
        }),
      );
      const id = `sha256:${createHash('sha256').update(config).digest('hex')}`;
      return { names: RepoTags ?? [], id, config, architecture, layers };
    }),
  );
}

function invalid(path: string, why: string, cause?: unknown): DeployError {
  return new DeployError('archive-invalid', `${path} holds no image that can be sent: ${why}.`, {
    hint: 'Write it again, such as with `docker save --output shop.tar shop:v42`, and see that the disk has room.',
    cause,
  });
}

async function* content(path: string, file: FileHandle, layer: ArchivedLayer): AsyncGenerator<Buffer> {
  const hash = createHash('sha256');
  for (let read = 0; read < layer.size; ) {
    const size = Math.min(PIECE, layer.size - read);
    const piece = await bytesAt(file, { offset: layer.offset + read, size });
    hash.update(piece);
    read += size;
    yield piece;
  }
  const digest = `sha256:${hash.digest('hex')}`;
  if (layer.digest !== undefined && digest !== layer.digest) {
    throw invalid(path, `its layer ${layer.digest.slice(0, 19)} is damaged`);
  }
}

/** Opens an archive and sees that all of it is there; rejects with `archive-invalid`. */
export async function openArchive(path: string): Promise<Archive> {
  const file = await open(path).catch((error: NodeJS.ErrnoException) => {
    throw new DeployError('usage', `${path} cannot be read: ${error.message}.`, {
      hint: 'Name a file that `docker save` wrote, or `registry`, `local` or `build`.',
    });
  });
  try {
    const images = await imagesIn(file);
    return {
      path,
      images,
      read: (layer) => content(path, file, layer),
      [Symbol.asyncDispose]: () => file.close(),
    };
  } catch (thrown) {
    await file.close();
    const why = thrown instanceof BrokenArchive ? thrown.message : 'its manifest cannot be read';
    throw invalid(path, why, thrown);
  }
}
