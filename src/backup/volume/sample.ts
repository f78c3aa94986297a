import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';

/** A file as a snapshot lists it. */
export interface Listed {
  readonly path: string;
  readonly size: number;
  /** ISO 8601. */
  readonly mtime: string;
}

/** The share that is looked at, and bounds of it in files and bytes: it is done each day. */
const SHARE = 0.01;
const BOUNDS = { least: 3, most: 200, bytes: 512e6 };

/** The files of a snapshot below a path, from `restic ls --json`. */
export function filesIn(text: string): readonly Listed[] {
  return text.split('\n').flatMap((line): readonly Listed[] => {
    if (!line.startsWith('{')) return [];
    const { type, path, size = 0, mtime } = JSON.parse(line) as Partial<Listed> & { type?: string };
    return type === 'file' && path !== undefined && mtime !== undefined ? [{ path, size, mtime }] : [];
  });
}

/** Takes one of a hundred at random, by a source of numbers from 0 to 1. Pure. */
export function sampleOf(files: readonly Listed[], random: () => number): readonly Listed[] {
  const wanted = Math.min(files.length, BOUNDS.most, Math.max(BOUNDS.least, Math.ceil(files.length * SHARE)));
  const left = [...files];
  const taken: Listed[] = [];
  let bytes = 0;
  while (taken.length < wanted && left.length > 0) {
    const [file] = left.splice(Math.floor(random() * left.length), 1);
    if (file === undefined) break;
    if (bytes + file.size > BOUNDS.bytes) continue;
    bytes += file.size;
    taken.push(file);
  }
  return taken;
}

async function digestOf(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}

const MICROSECOND = 0.001;

/** Whether a file is, by size and time, still the one that was copied: only then it must be equal. */
export async function isUnchanged({ path, size, mtime }: Listed): Promise<boolean> {
  const now = await lstat(path).catch(() => undefined);
  return now?.isFile() === true && now.size === size && Math.abs(now.mtimeMs - Date.parse(mtime)) < 1 + MICROSECOND;
}

/** Whether two files hold the same. */
export async function isSame(one: string, other: string): Promise<boolean> {
  const [first, second] = await Promise.all([digestOf(one), digestOf(other).catch(() => 'unreadable')]);
  return first === second;
}

/** A path as restic's patterns read it: nothing in it stands for anything else. */
export function literalPattern(path: string): string {
  return path.replaceAll(/[\\*?[\]]/g, '\\$&');
}

/** Where a file of a snapshot is once what is below `root` was restored into a folder. */
export function restoredAt(folder: string, root: string, path: string): string {
  return join(folder, path.slice(root.length));
}
