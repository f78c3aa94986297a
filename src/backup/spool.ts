import { existsSync } from 'node:fs';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { sourceFolder } from './places.ts';

/** A folder that only root gets into, for what is on its way; it goes when it is disposed of. */
export interface Spool extends AsyncDisposable {
  readonly path: string;
}

const inUse = new Set<string>();
let made = 0;

/** A folder of a source's own for as long as it is used; those for the same purpose of processes that were killed go first. */
export async function spool(app: string, source: string, purpose: string): Promise<Spool> {
  const folder = sourceFolder(app, source);
  made += 1;
  const path = join(folder, `${purpose}-${process.pid}.${made}`);
  inUse.add(path);
  for (const name of await readdir(folder).catch(() => [])) {
    const [, owner] = (name.startsWith(`${purpose}-`) && /^(\d+)\.\d+$/.exec(name.slice(purpose.length + 1))) || [];
    const lives = owner === String(process.pid) ? inUse.has(join(folder, name)) : existsSync(`/proc/${owner}`);
    if (owner !== undefined && !lives) await rm(join(folder, name), { recursive: true, force: true });
  }
  await mkdir(path, { recursive: true, mode: 0o700 });
  return {
    path,
    async [Symbol.asyncDispose]() {
      await rm(path, { recursive: true, force: true });
      inUse.delete(path);
    },
  };
}
