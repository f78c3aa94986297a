import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { lstat, readdir, readFile, readlink } from 'node:fs/promises';
import { join, posix } from 'node:path';
import { DeployError } from '#core/errors';
import { padding, TAR_END, type TarEntry, tarHeader } from '#core/tar';
import { ignoring } from './ignore.ts';
import { type Parcel, packed } from './parcel.ts';

/** What an image is built from. */
export interface BuildSettings {
  /** An absolute path on this machine. */
  readonly context: string;
  /** Relative to the context. */
  readonly dockerfile: string;
  readonly args: Readonly<Record<string, string>>;
  readonly target: string | undefined;
}

interface Found extends TarEntry {
  readonly size: number;
}

const textOf = (path: string): Promise<string | undefined> => readFile(path, 'utf8').catch(() => undefined);

async function entryOf(root: string, path: string): Promise<Found | undefined> {
  const stat = await lstat(join(root, path));
  const shared = { path, mode: stat.mode & 0o7777, modified: stat.mtimeMs / 1000 };
  if (stat.isFile()) return { ...shared, type: 'file', size: stat.size };
  if (stat.isDirectory()) return { ...shared, path: `${path}/`, type: 'folder', size: 0 };
  if (stat.isSymbolicLink()) return { ...shared, type: 'link', size: 0, target: await readlink(join(root, path)) };
  // A socket, a pipe, a device: nothing that a build reads.
  return undefined;
}

/** All that a build may read, in a fixed order: what is not in `.dockerignore`, and the Dockerfile in any case. */
async function contents({ context, dockerfile }: BuildSettings): Promise<readonly Found[]> {
  const text =
    (await textOf(join(context, `${dockerfile}.dockerignore`))) ?? (await textOf(join(context, '.dockerignore')));
  const ignores = ignoring(text ?? '');
  const wanted = posix.normalize(dockerfile);
  const found: Found[] = [];
  const walk = async (folder: string): Promise<void> => {
    const entries = await readdir(join(context, folder), { withFileTypes: true });
    for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const path = posix.join(folder, entry.name);
      const isLeftOut = ignores(path) && path !== wanted;
      const one = isLeftOut ? undefined : await entryOf(context, path);
      if (one !== undefined) found.push(one);
      if (entry.isDirectory() && (!isLeftOut || ignores.hasExceptions || wanted.startsWith(`${path}/`)))
        await walk(path);
    }
  };
  await walk('');
  return found;
}

async function* fileOf(context: string, { path, size }: Found): AsyncGenerator<Buffer> {
  let left = size;
  if (size > 0) {
    for await (const chunk of createReadStream(join(context, path), { end: size - 1, highWaterMark: 256 * 1024 })) {
      left -= (chunk as Buffer).length;
      yield chunk as Buffer;
    }
  }
  if (left === 0) return;
  throw new DeployError('usage', `${join(context, path)} became shorter while it was read.`, {
    hint: 'Run the same command again once nothing writes to the build context.',
  });
}

async function* archive(context: string, entries: readonly Found[], seen: (bytes: number) => void) {
  for (const entry of entries) {
    yield tarHeader(entry);
    if (entry.type !== 'file') continue;
    for await (const chunk of fileOf(context, entry)) {
      seen(chunk.length);
      yield chunk;
    }
    yield padding(entry.size);
  }
  yield TAR_END;
}

// When a file was last written is in the archive, as for any build, and makes no other image.
async function digestOf(settings: BuildSettings, entries: readonly Found[]): Promise<string> {
  const { context, dockerfile, args, target } = settings;
  const hash = createHash('sha256').update(JSON.stringify([dockerfile, Object.entries(args).sort(), target ?? '']));
  for (const entry of entries) {
    const { path, type, mode, size, target: to } = entry;
    hash.update(`\0${JSON.stringify([path, type, mode, size, to])}\0`);
    if (type === 'file') for await (const chunk of fileOf(context, entry)) hash.update(chunk);
  }
  return `sha256:${hash.digest('hex')}`;
}

/** What a host needs to build an image, known by the digest of all of it. */
export async function contextParcel(reference: string, settings: BuildSettings): Promise<Parcel> {
  const { context, dockerfile, args, target } = settings;
  const entries = await contents(settings).catch((error: NodeJS.ErrnoException) => {
    throw new DeployError('usage', `The build context ${context} cannot be read: ${error.message}.`, {
      hint: `Check \`build.context\` of the service whose image is ${reference}.`,
    });
  });
  if (!entries.some(({ path, type }) => type === 'file' && path === posix.normalize(dockerfile))) {
    throw new DeployError('usage', `There is no ${dockerfile} in the build context ${context}.`, {
      hint: `Check \`build.dockerfile\` of the service whose image is ${reference}; it lies in the context.`,
    });
  }
  const pin = await digestOf(settings, entries);
  const bytes = entries.reduce((sum, { size }) => sum + size, 0);
  return {
    offered: { kind: 'context', reference, pin },
    size: () => Promise.resolve(bytes),
    cargo: async () => ({
      ...{ kind: 'context', pin, dockerfile, args: { ...args }, bytes },
      ...(target === undefined ? {} : { target }),
    }),
    read: async (_, seen) => packed(archive(context, entries, seen)),
  };
}
