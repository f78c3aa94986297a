import { mkdir, open, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';

/** Makes a rename or a removal in a folder survive a power cut. */
export async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Replaces a file as one rename, synced: afterwards there is the old text or the new one, never a part. */
export async function replaceText(path: string, text: string, mode = 0o600): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await writeFile(`${path}.next`, text, { mode, flush: true });
  await rename(`${path}.next`, path);
  await syncFolder(dirname(path));
}

/** What a JSON file of ours says; undefined where there is none. */
export async function readJson<T>(path: string): Promise<T | undefined> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as T;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** JSON as a person reads it too. */
export function asText(value: unknown): string {
  return `${JSON.stringify(value, undefined, 1)}\n`;
}
