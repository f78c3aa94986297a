import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fewAtOnce } from '#core/few-at-once';
import type { Output, RunOptions } from '#core/run';
import type { NewObject, Objects, StoredObject } from './objects.ts';

/** Runs restic on the repository that holds the objects; rejects where it fails. */
type Restic = (what: string, args: readonly string[], options?: RunOptions) => Promise<Output>;

/** What each tag of a snapshot says: an object that is in it, and its size. */
const TAG = /^object=(?<size>\d+):(?<name>.+)$/;

/** Each opens the repository by itself, which is work for a processor. */
const AT_ONCE = 2;

interface Snapshot {
  readonly id: string;
  readonly tags?: readonly string[];
}

function objectsOf({ tags = [] }: Snapshot): readonly StoredObject[] {
  return tags.flatMap((tag) => {
    const { size, name } = TAG.exec(tag)?.groups ?? {};
    return name === undefined ? [] : [{ name, size: Number(size) }];
  });
}

/**
 * Objects on a restic REST server, which keeps nothing but repositories: in a second one, a snapshot for each time that
 * something was put, with the names in its tags. Nothing is written over there either, and it may be append-only.
 */
export function restObjects(restic: Restic): Objects {
  async function snapshots(): Promise<readonly Snapshot[]> {
    const { stdout } = await restic('Listing objects in', ['snapshots', '--json', '--no-lock']);
    return JSON.parse(stdout) as readonly Snapshot[];
  }
  const isBelow = (prefix: string) => (object: StoredObject) => object.name.startsWith(`${prefix}/`);

  async function list(prefix: string): Promise<readonly StoredObject[]> {
    const all = (await snapshots()).flatMap(objectsOf).filter(isBelow(prefix));
    return [...new Map(all.map((object) => [object.name, object])).values()];
  }

  return {
    async put(folder, prefix, files) {
      const there = new Set((await list(prefix)).map(({ name }) => name));
      const missing = files.filter(({ name }) => !there.has(`${prefix}/${name}`));
      if (missing.length > 0) {
        const tags = missing.flatMap(({ name, size }: NewObject) => ['--tag', `object=${size}:${prefix}/${name}`]);
        const bytes = missing.reduce((sum, { size }) => sum + size, 0);
        await restic(
          'Putting objects into',
          ['backup', '--quiet', '--no-scan', ...tags, ...missing.map(({ name }) => name)],
          {
            cwd: folder,
            timeout: 300 + bytes / 64_000,
          },
        );
      }
      const wanted = new Set(files.map(({ name }) => `${prefix}/${name}`));
      return (await list(prefix)).filter(({ name }) => wanted.has(name));
    },
    list,
    async fetch(prefix, names, folder) {
      const wanted = new Set(names);
      const found = (await snapshots()).flatMap((snapshot) => {
        const here = objectsOf(snapshot).filter(isBelow(prefix));
        const files = here.map(({ name }) => name.slice(prefix.length + 1)).filter((file) => wanted.delete(file));
        return files.map((file) => ({ snapshot: snapshot.id, file }));
      });
      await fewAtOnce(AT_ONCE, found, async ({ snapshot, file }) => {
        const target = join(folder, file);
        try {
          const args = ['dump', '--no-lock', '--target', target, snapshot, `/${file}`];
          await restic('Fetching objects from', args, { timeout: 6 * 3600 });
        } catch (error) {
          await rm(target, { force: true });
          throw error;
        }
      });
    },
    async remove(prefix, names) {
      const gone = new Set(names.map((name) => `${prefix}/${name}`));
      // A snapshot goes when nothing in it is wanted any more.
      const whole = (await snapshots()).filter((snapshot) => {
        const objects = objectsOf(snapshot);
        return objects.length > 0 && objects.every(({ name }) => gone.has(name));
      });
      if (whole.length === 0) return;
      await restic('Removing objects from', ['unlock']);
      await restic('Removing objects from', ['forget', '--prune', ...whole.map(({ id }) => id)], { timeout: 6 * 3600 });
    },
  };
}
