import { copyFile, link, mkdir, open, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { syncFolder } from '#release/durable';
import type { Objects, StoredObject } from './objects.ts';

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

async function syncFile(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Copies a file so that it is there whole or not at all, and never over another. */
async function putOne(from: string, folder: string, name: string): Promise<void> {
  const draft = join(folder, `.${name}.part`);
  try {
    await copyFile(from, draft);
    await syncFile(draft);
    await link(draft, join(folder, name));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    await rm(draft, { force: true });
  }
}

/** Objects in a folder of this machine. */
export function localObjects(root: string): Objects {
  return {
    async put(folder, prefix, files) {
      const target = join(root, prefix);
      await mkdir(target, { recursive: true, mode: 0o700 });
      const there: StoredObject[] = [];
      for (const { name } of files) {
        if ((await sizeOf(join(target, name))) === undefined) await putOne(join(folder, name), target, name);
      }
      await syncFolder(target);
      for (const { name } of files) {
        const size = await sizeOf(join(target, name));
        if (size !== undefined) there.push({ name: `${prefix}/${name}`, size });
      }
      return there;
    },
    async list(prefix) {
      const top = join(root, prefix);
      if ((await sizeOf(root)) === undefined || (await sizeOf(top)) === undefined) return [];
      const entries = await readdir(top, { recursive: true, withFileTypes: true });
      const files = entries.filter((entry) => entry.isFile() && !entry.name.startsWith('.'));
      return Promise.all(
        files.map(async ({ parentPath, name }) => {
          const path = join(parentPath, name);
          return { name: path.slice(root.length + 1), size: (await stat(path)).size };
        }),
      );
    },
    async fetch(prefix, names, folder) {
      for (const name of names) {
        const from = join(root, prefix, name);
        if ((await sizeOf(from)) !== undefined) await copyFile(from, join(folder, name));
      }
    },
    async remove(prefix, names) {
      for (const name of names) await rm(join(root, prefix, name), { force: true });
    },
  };
}
