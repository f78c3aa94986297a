import { createHash, randomBytes } from 'node:crypto';
import { chmod, chown, lstat, mkdir, open, readdir, readFile, readlink, rename, rm, rmdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { FileAttributes, FileState } from '#resources/resource';
import type { Accounts } from './accounts.ts';
import { PATHS } from './paths.ts';

/** Whether an error of the file system says that a path does not exist. */
export function isAbsent(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  return code === 'ENOENT' || code === 'ENOTDIR';
}

/** The text of a file; undefined where there is none. */
export async function readTextIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}

/** The names in a directory, sorted; empty where there is none. */
export async function listIfThere(path: string): Promise<readonly string[]> {
  try {
    return (await readdir(path)).sort();
  } catch (error) {
    if (isAbsent(error)) return [];
    throw error;
  }
}

export async function stateOf(path: string, accounts: Accounts): Promise<FileState | undefined> {
  try {
    const stat = await lstat(path);
    const type = stat.isFile() ? 'file' : stat.isDirectory() ? 'directory' : stat.isSymbolicLink() ? 'link' : 'other';
    return {
      type,
      mode: `0${(stat.mode & 0o7777).toString(8).padStart(3, '0')}`,
      owner: await accounts.userName(stat.uid),
      group: await accounts.groupName(stat.gid),
      uid: stat.uid,
      gid: stat.gid,
      size: stat.size,
      ...(type === 'link' ? { target: await readlink(path) } : {}),
    };
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}

/** Syncs a directory, so that a rename in it survives a power cut. */
async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Replaces a file as one rename, synced: afterwards there is the old file or the new one, never a part. */
export async function replaceFile(
  path: string,
  content: string | Buffer,
  attributes: { mode: number; uid: number; gid: number },
): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const candidate = join(dirname(path), `.slipway-${randomBytes(6).toString('hex')}`);
  const handle = await open(candidate, 'wx', 0o600);
  try {
    await handle.writeFile(content);
    await handle.chown(attributes.uid, attributes.gid);
    await handle.chmod(attributes.mode);
    await handle.sync();
    await handle.close();
    await rename(candidate, path);
  } catch (error) {
    await handle.close().catch(() => undefined);
    await rm(candidate, { force: true });
    throw error;
  }
  await syncDirectory(dirname(path));
}

interface Original {
  readonly path: string;
  readonly existed: boolean;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  /** Base64, since what was there may be anything. */
  readonly content?: string;
}

function originalPath(path: string): string {
  return join(PATHS.originals, `${createHash('sha256').update(path).digest('hex').slice(0, 32)}.json`);
}

/** Keeps what stands at a path before Slipway first writes there; later writes change nothing of the record. */
async function keepOriginal(path: string): Promise<void> {
  const record = originalPath(path);
  if ((await readTextIfThere(record)) !== undefined) return;
  let original: Original = { path, existed: false };
  try {
    const stat = await lstat(path);
    if (stat.isFile()) {
      const content = (await readFile(path)).toString('base64');
      original = { path, existed: true, mode: stat.mode & 0o7777, uid: stat.uid, gid: stat.gid, content };
    }
  } catch (error) {
    if (!isAbsent(error)) throw error;
  }
  await replaceFile(record, JSON.stringify(original), { mode: 0o600, uid: 0, gid: 0 });
}

/** Writes a file of ours, keeping what stood there before. */
export async function writeManaged(
  path: string,
  content: string,
  attributes: FileAttributes,
  accounts: Accounts,
): Promise<void> {
  await keepOriginal(path);
  const existing = await lstat(path).catch(() => undefined);
  if (existing?.isDirectory()) throw new Error(`${path} is a directory, where a file should be`);
  const [uid, gid] = [await accounts.userId(attributes.owner), await accounts.groupId(attributes.group)];
  await replaceFile(path, content, { mode: Number.parseInt(attributes.mode, 8), uid, gid });
}

/** Removes a file of ours; what stood there before comes back. */
export async function removeManaged(path: string): Promise<void> {
  const record = await readTextIfThere(originalPath(path));
  const original = record === undefined ? undefined : (JSON.parse(record) as Original);
  if (original?.existed === true && original.content !== undefined) {
    const { mode = 0o644, uid = 0, gid = 0 } = original;
    await replaceFile(path, Buffer.from(original.content, 'base64'), { mode, uid, gid });
  } else {
    await rm(path, { force: true });
    await removeEmptyParents(path);
  }
  await rm(originalPath(path), { force: true });
}

// Folders below our own were made along with what was written into them, so they go with the last of it.
async function removeEmptyParents(path: string): Promise<void> {
  for (let folder = dirname(path); folder.startsWith(`${PATHS.configuration}/`); folder = dirname(folder)) {
    const isEmpty = (await listIfThere(folder)).length === 0;
    if (!isEmpty) return;
    await rmdir(folder).catch(() => undefined);
  }
}

/** Makes a directory with its mode, root's own. */
export async function ownDirectory(path: string, mode = 0o700): Promise<void> {
  await mkdir(path, { recursive: true });
  await chmod(path, mode);
  await chown(path, 0, 0);
}
