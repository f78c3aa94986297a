import { join } from 'node:path';
import type { Output } from '#core/run';
import type { Objects, StoredObject } from './objects.ts';
import type { Login } from './ssh.ts';

/** Rejects where a batch has failed, in the words of whoever uses the store. */
type Must = (what: string, output: Output) => Output;

/** A path as sftp's own commands read it. */
const quoted = (path: string): string => `"${path.replaceAll(/["\\]/g, '\\$&')}"`;

/** A line of `ls -ln`: the fifth column is the size, what follows the date is the path. */
const LISTED = /^(?<type>[-dl])\S+\s+\S+\s+\S+\s+\S+\s+(?<size>\d+)\s+\S+\s+\S+\s+\S+\s+(?<path>.+)$/;

interface Entry {
  readonly isFolder: boolean;
  readonly size: number;
  readonly path: string;
}

/** What `ls -ln` has printed of files and folders, with their whole paths. */
export function entriesOf(stdout: string): readonly Entry[] {
  return stdout.split('\n').flatMap((line) => {
    const { type, size, path } = LISTED.exec(line)?.groups ?? {};
    return path === undefined ? [] : [{ isFolder: type === 'd', size: Number(size), path }];
  });
}

/** What sftp says where something is the matter with a path, but not that there is none. */
const REFUSED = /^(?!.*(?:not found|No such file)).*(?:Permission denied|Failure|Can't|Couldn't).*$/m;

/** A dash before a command lets a batch go on where it fails: meant for what is not there, and nothing else. */
function orRefused(output: Output): Output {
  return output.exitCode === 0 && REFUSED.test(output.stderr) ? { ...output, exitCode: 1 } : output;
}

/** All folders on the way to a path, outermost first. */
function waysTo(path: string): readonly string[] {
  const parts = path.split('/');
  return parts.map((_, index) => parts.slice(0, index + 1).join('/')).filter((way) => way !== '' && way !== '.');
}

/** Objects on an SFTP server, each written beside and renamed: whole or not there, and never over another. */
export function sftpObjects({ batch }: Login, root: string, must: Must): Objects {
  const at = (prefix: string, name: string): string => join(root, prefix, name);

  /** What there is of these, by their names. */
  async function sizes(prefix: string, names: readonly string[]): Promise<ReadonlyMap<string, number>> {
    const commands = names.map((name) => `-ls -ln ${quoted(at(prefix, name))}`);
    const { stdout } = must('Looking for objects in', orRefused(await batch(commands, 60 + names.length)));
    return new Map(entriesOf(stdout).map(({ path, size }) => [path.slice(path.lastIndexOf('/') + 1), size]));
  }

  return {
    async put(folder, prefix, files) {
      const before = await sizes(
        prefix,
        files.map(({ name }) => name),
      );
      const missing = files.filter(({ name }) => !before.has(name));
      if (missing.length > 0) {
        const bytes = missing.reduce((sum, { size }) => sum + size, 0);
        const puts = missing.flatMap(({ name }) => {
          const draft = quoted(at(prefix, `.${name}.part`));
          // -f: on the disk of the server before it counts. -l: the old rename of the protocol, which refuses a name that is taken.
          return [`put -f ${quoted(join(folder, name))} ${draft}`, `rename -l ${draft} ${quoted(at(prefix, name))}`];
        });
        const output = await batch(
          [...waysTo(join(root, prefix)).map((way) => `-mkdir ${quoted(way)}`), ...puts],
          120 + bytes / 64_000,
        );
        if (output.exitCode !== 0) {
          // What has come of it so far would keep a full disk full.
          await batch(
            missing.map(({ name }) => `-rm ${quoted(at(prefix, `.${name}.part`))}`),
            60,
          );
          must('Putting objects into', output);
        }
      }
      const after = await sizes(
        prefix,
        files.map(({ name }) => name),
      );
      return [...after].map(([name, size]): StoredObject => ({ name: `${prefix}/${name}`, size }));
    },
    async list(prefix) {
      const found: StoredObject[] = [];
      let level = [join(root, prefix)];
      while (level.length > 0) {
        const commands = level.map((folder) => `-ls -ln ${quoted(folder)}`);
        const { stdout } = must('Listing objects in', orRefused(await batch(commands, 300)));
        const entries = entriesOf(stdout);
        const files = entries.filter(({ isFolder, path }) => !isFolder && !path.includes('/.'));
        found.push(...files.map(({ path, size }) => ({ name: path.slice(root.length + 1), size })));
        level = entries.filter(({ isFolder }) => isFolder).map(({ path }) => path);
      }
      return found;
    },
    async fetch(prefix, names, folder) {
      const commands = names.map((name) => `-get ${quoted(at(prefix, name))} ${quoted(join(folder, name))}`);
      must('Fetching objects from', orRefused(await batch(commands, 6 * 3600)));
    },
    async remove(prefix, names) {
      const removals = names.map((name) => `-rm ${quoted(at(prefix, name))}`);
      must('Removing objects from', orRefused(await batch(removals, 600)));
    },
  };
}
