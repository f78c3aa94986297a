import { Readable } from 'node:stream';
import { createGzip } from 'node:zlib';
import type { Cargo, Offered } from '#protocol/images';
import type { Archive, ArchivedImage, ArchivedLayer } from './archive.ts';

/** Something to be sent to hosts that lack it: an image, or what one is built from. */
export interface Parcel {
  readonly offered: Offered;
  /** What a host has to know of it, given the blobs that travel. */
  cargo(blobs: readonly string[]): Promise<Cargo>;
  /** Bytes of a blob, before any compression. */
  size(blob: string): Promise<number>;
  /** A blob as it travels; `seen` is told the bytes that were read for it. */
  read(blob: string, seen: (bytes: number) => void): Promise<AsyncIterable<Buffer>>;
}

/**
 * Packed as every engine can unpack it by itself. Node has zstd from 22.15 on only, and engines before Docker 23 do not
 * know it.
 */
export function packed(content: AsyncIterable<Buffer>): AsyncIterable<Buffer> {
  const gzip = createGzip();
  const source = Readable.from(content, { objectMode: false });
  source.once('error', (error) => gzip.destroy(error));
  gzip.once('close', () => source.destroy());
  return source.pipe(gzip);
}

async function* counted(content: AsyncIterable<Buffer>, seen: (bytes: number) => void): AsyncGenerator<Buffer> {
  for await (const chunk of content) {
    seen(chunk.length);
    yield chunk;
  }
}

/** An image out of an archive; the archive is opened when a host lacks the image, and not before. */
export function imageParcel(
  offered: Extract<Offered, { kind: 'image' }>,
  open: () => Promise<{ readonly archive: Archive; readonly image: ArchivedImage }>,
): Parcel {
  const layerOf = async (blob: string): Promise<{ archive: Archive; layer: ArchivedLayer }> => {
    const { archive, image } = await open();
    const layer = image.layers.find(({ diffId }) => diffId === blob);
    if (layer === undefined) throw new Error(`${offered.reference} has no layer ${blob}`);
    return { archive, layer };
  };
  const size = async (blob: string) => (await layerOf(blob)).layer.size;
  return {
    offered,
    size,
    async cargo(blobs) {
      const { image } = await open();
      const sizes = await Promise.all(blobs.map(size));
      const bytes = sizes.reduce((sum, one) => sum + one, 0);
      const layers = image.layers.map(({ diffId }) => diffId);
      return { kind: 'image', pin: offered.pin, config: image.config, layers, bytes };
    },
    async read(blob, seen) {
      const { archive, layer } = await layerOf(blob);
      const content = counted(archive.read(layer), seen);
      return layer.isCompressed ? content : packed(content);
    },
  };
}
