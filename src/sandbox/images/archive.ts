import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { DeployError } from '#core/errors';
import type { LayerContents } from './layer.ts';

/** The time that everything in an image bears, seconds since 1970: Debian 13's release. Equal recipes give equal digests. */
export const IMAGE_TIME = Date.UTC(2025, 7, 9) / 1000;

/** A layer's archive as image manifests speak of it. */
export interface PackedLayer {
  /** `sha256:…` of the compressed archive. */
  readonly digest: string;
  /** `sha256:…` of the archive before compression. */
  readonly diffId: string;
  /** Bytes, compressed. */
  readonly size: number;
}

/** Packs a layer into a gzipped tar archive that depends on nothing but what is in it. */
export async function pack(contents: LayerContents, file: string): Promise<PackedLayer> {
  const tar = spawn('tar', [
    ...['--create', '--format=gnu', '--numeric-owner', `--mtime=@${IMAGE_TIME}`, '--no-recursion'],
    ...['-C', contents.root, '--null', '--verbatim-files-from', '--files-from=-'],
  ]);
  let said = '';
  tar.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  // Where tar ends before it has read its list, its exit code tells more than the broken pipe.
  tar.stdin.on('error', () => undefined).end(contents.paths.map((path) => `${path}\0`).join(''));
  const ended = once(tar, 'close') as Promise<[number | null]>;
  const plain = createHash('sha256');
  const packed = createHash('sha256');
  let size = 0;
  await pipeline(
    tar.stdout,
    async function* (chunks: AsyncIterable<Buffer>) {
      for await (const chunk of chunks) {
        plain.update(chunk);
        yield chunk;
      }
    },
    createGzip({ level: 6 }),
    async function* (chunks: AsyncIterable<Buffer>) {
      for await (const chunk of chunks) {
        packed.update(chunk);
        size += chunk.length;
        yield chunk;
      }
    },
    createWriteStream(file),
  );
  const [code] = await ended;
  if (code !== 0) {
    throw new DeployError(
      'sandbox-image-failed',
      `tar could not pack the layer ${file}: ${said.trim().split('\n').slice(-5).join('\n')}`,
      {
        hint: 'See that the disk has room (df -h), and run the same command again.',
      },
    );
  }
  return { digest: `sha256:${packed.digest('hex')}`, diffId: `sha256:${plain.digest('hex')}`, size };
}
