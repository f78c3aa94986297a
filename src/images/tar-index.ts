import type { FileHandle } from 'node:fs/promises';
import { posix } from 'node:path';
import { TAR_BLOCK } from '#core/tar';

/** A file in an archive: where its content lies. */
export interface Indexed {
  readonly offset: number;
  readonly size: number;
}

/** What is wrong with an archive, in half a sentence. */
export class BrokenArchive extends Error {}

interface Header {
  readonly path: string;
  readonly size: number;
  readonly flag: string;
  readonly target: string;
}

const textAt = (header: Buffer, from: number, length: number): string => {
  const field = header.subarray(from, from + length);
  const end = field.indexOf(0);
  return field.toString('utf8', 0, end === -1 ? length : end);
};

function sizeOf(header: Buffer): number {
  // GNU's way to write what octal digits do not hold.
  if (((header[124] ?? 0) & 0x80) !== 0) return Number(header.readBigUInt64BE(128));
  return Number.parseInt(textAt(header, 124, 12).trim() || '0', 8);
}

function parse(header: Buffer): Header {
  const stated = Number.parseInt(textAt(header, 148, 8).trim(), 8);
  let sum = 0;
  for (const [at, byte] of header.entries()) sum += at >= 148 && at < 156 ? 32 : byte;
  if (sum !== stated) throw new BrokenArchive('it is no tar archive, or it is damaged');
  const isPosix = textAt(header, 257, 6) === 'ustar';
  const prefix = isPosix ? textAt(header, 345, 155) : '';
  const name = textAt(header, 0, 100);
  return {
    path: prefix === '' ? name : `${prefix}/${name}`,
    size: sizeOf(header),
    flag: String.fromCharCode(header[156] ?? 0),
    target: textAt(header, 157, 100),
  };
}

/** The records of a pax header: `<length> <key>=<value>\n`, the length in bytes. */
function records(content: Buffer): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (let at = 0; at < content.length; ) {
    const space = content.indexOf(0x20, at);
    const length = Number.parseInt(content.toString('utf8', at, space), 10);
    if (space === -1 || !(length > 0)) break;
    const [key = '', ...value] = content.toString('utf8', space + 1, at + length - 1).split('=');
    found.set(key, value.join('='));
    at += length;
  }
  return found;
}

/** Bytes of a header of our own interest; a longer one is none. */
const LONGEST_NAME = 1024 * 1024;

/**
 * Where the files of a tar archive lie, by their path; links lead where they point. Rejects with BrokenArchive where the
 * archive ends early or is none.
 */
export async function indexTar(file: FileHandle): Promise<ReadonlyMap<string, Indexed>> {
  const { size: length } = await file.stat();
  const read = async (at: number, size: number): Promise<Buffer> => {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(size), 0, size, at);
    if (bytesRead < size) throw new BrokenArchive('it ends in the middle');
    return buffer;
  };
  const files = new Map<string, Indexed>();
  const links = new Map<string, string>();
  let long: ReadonlyMap<string, string> = new Map();
  for (let at = 0; ; ) {
    const block = await read(at, TAR_BLOCK);
    if (block.every((byte) => byte === 0)) break;
    const header = parse(block);
    const { flag } = header;
    const offset = at + TAR_BLOCK;
    const isName = flag === 'x' || flag === 'g' || flag === 'L' || flag === 'K';
    const size = isName ? header.size : Number(long.get('size') ?? header.size);
    if (!(size >= 0) || offset + size > length) throw new BrokenArchive('it ends in the middle');
    at = offset + Math.ceil(size / TAR_BLOCK) * TAR_BLOCK;
    if (isName) {
      if (size > LONGEST_NAME) throw new BrokenArchive('a name in it has no end');
      const content = await read(offset, size);
      if (flag === 'x') long = records(content);
      if (flag === 'L' || flag === 'K') {
        long = new Map([...long, [flag === 'L' ? 'path' : 'linkpath', content.toString('utf8').replace(/\0+$/, '')]]);
      }
      continue;
    }
    const path = posix.normalize(long.get('path') ?? header.path);
    const target = long.get('linkpath') ?? header.target;
    if (flag === '0' || flag === '\0') files.set(path, { offset, size });
    if (flag === '1') links.set(path, posix.normalize(target));
    if (flag === '2') links.set(path, posix.join(posix.dirname(path), target));
    long = new Map();
  }
  for (const [path, target] of links) {
    const file = files.get(target);
    if (file !== undefined) files.set(path, file);
  }
  return files;
}
