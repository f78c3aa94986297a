/** Bytes of a block: every header is one, and every file is filled up to whole ones. */
export const TAR_BLOCK = 512;

/** The most that fits into a header's size: eleven octal digits. */
const LARGEST = 8 ** 11 - 1;

/** What a tar archive says of one file, folder or link. */
export interface TarEntry {
  /** At most 255 bytes, of which the last 100 begin behind a slash. */
  readonly path: string;
  readonly type?: 'file' | 'folder' | 'link';
  /** Bytes; only a file has any. */
  readonly size?: number;
  /** Permission bits; 0o644 by default. */
  readonly mode?: number;
  /** Seconds since 1970; the beginning of it by default. */
  readonly modified?: number;
  /** Where a link leads. */
  readonly target?: string;
}

const FLAGS = { file: '0', folder: '5', link: '2' } as const;

// Long names go into a record of their own (pax), as every tar since 2001 reads it.
function extended(records: readonly (readonly [string, string])[]): Buffer {
  const lines = records.map(([key, value]) => {
    const rest = Buffer.byteLength(` ${key}=${value}\n`);
    // The length counts its own digits.
    const own = String(rest + String(rest).length).length;
    return `${rest + own} ${key}=${value}\n`;
  });
  const content = Buffer.from(lines.join(''));
  return Buffer.concat([block({ path: 'pax', size: content.length }, 'x'), content, padding(content.length)]);
}

function block({ path, size = 0, mode = 0o644, modified = 0, target = '' }: TarEntry, flag: string): Buffer {
  const header = Buffer.alloc(TAR_BLOCK);
  const octal = (value: number, width: number) => `${value.toString(8).padStart(width, '0')}\0`;
  header.write(path, 0, 100);
  header.write(octal(mode, 7), 100);
  header.write(octal(0, 7), 108);
  header.write(octal(0, 7), 116);
  header.write(octal(Math.min(size, LARGEST), 11), 124);
  header.write(octal(Math.max(0, Math.floor(modified)), 11), 136);
  header.write(' '.repeat(8), 148);
  header.write(flag, 156);
  header.write(target, 157, 100);
  header.write('ustar\x0000', 257);
  header.write(
    `${header
      .reduce((sum, byte) => sum + byte, 0)
      .toString(8)
      .padStart(6, '0')}\0 `,
    148,
  );
  return header;
}

/** The header of an entry (POSIX.1-2001, pax). A file's content follows, then `padding`. */
export function tarHeader(entry: TarEntry): Buffer {
  const { path, size = 0, target = '' } = entry;
  const records = [
    ...(Buffer.byteLength(path) > 100 ? [['path', path] as const] : []),
    ...(Buffer.byteLength(target) > 100 ? [['linkpath', target] as const] : []),
    ...(size > LARGEST ? [['size', String(size)] as const] : []),
  ];
  const header = block(entry, FLAGS[entry.type ?? 'file']);
  return records.length === 0 ? header : Buffer.concat([extended(records), header]);
}

/** What fills a file of this size up to a whole block. */
export function padding(size: number): Buffer {
  return Buffer.alloc((TAR_BLOCK - (size % TAR_BLOCK)) % TAR_BLOCK);
}

/** The end of an archive. */
export const TAR_END: Buffer = Buffer.alloc(2 * TAR_BLOCK);
