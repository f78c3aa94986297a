import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import type { Backups } from '#backup/engine';
import { DeployError } from '#core/errors';
import { lastLines, type Output } from '#core/run';
import type { Host } from '#resources/resource';
import { fetchBase } from './fetch.ts';
import { isAsItSays } from './follow.ts';
import { inImage, ownerOf, type Tools } from './replay.ts';
import { type Asked, type Beginning, toolsFor } from './way.ts';

/** Joins an incremental copy with the full one that it was made from. */
async function combine(
  host: Host,
  tools: Tools,
  folder: string,
  parts: readonly string[],
  into: string,
): Promise<void> {
  const owner = await ownerOf(join(folder, parts[0] ?? ''));
  const run = inImage(tools, [{ from: folder, to: '/bases' }], '0:0');
  const args = [...parts.map((part) => `/bases/${part}`), `--output=/bases/${into}`];
  const output = await host.run(run('pg_combinebackup', args), { timeout: 6 * 3600 });
  if (output.exitCode !== 0) {
    throw new DeployError(
      'copy-broken',
      `The incremental copy does not go together with its full one:\n${lastLines(output)}`,
      { hint: 'Take a new full copy at once with `deploy backup now <environment>`, and try an earlier moment.' },
    );
  }
  await host.must(['chown', '--recursive', owner, join(folder, into)], { timeout: 600 });
}

/** Puts the files of a base into `data`; resolves with whether they are known to be those that its manifest names. */
export async function unpack(
  { host }: Backups,
  { base, full }: Beginning,
  { store, folder, labels }: Asked,
  signal: AbortSignal,
): Promise<boolean> {
  const data = join(folder, 'data');
  if (full === undefined) return isAsItSays(data, await fetchBase(store, base, data, signal));
  await fetchBase(store, full, join(folder, 'full'), signal);
  await fetchBase(store, base, join(folder, 'incremental'), signal);
  const tools = await toolsFor(host, base.note.image, labels);
  await combine(host, tools, folder, ['full', 'incremental'], 'data');
  for (const part of ['full', 'incremental']) await rm(join(folder, part), { recursive: true, force: true });
  return false;
}

/** Goes on once it is told how; without a word, whoever should have said it is gone. */
const WHEN_TOLD = `
read -r how || exit 1
[ "$how" = hashed ] && set -- --skip-checksums "$@"
exec pg_verifybackup "$@"`;

/**
 * Has a base proven file by file against its own manifest. Its container is there before the base is, whose folder is
 * empty as yet: it begins when `unpacked` resolves, and reads no file again where that tells that all have been hashed.
 */
export function verifyBase(
  host: Host,
  { image, labels }: Tools,
  data: string,
  withLog: boolean,
  unpacked: Promise<boolean>,
): Promise<Output> {
  const run = inImage({ image, labels: ['--interactive', ...labels] }, [{ from: data, to: '/data' }]);
  // Which is not there where tablespaces were unpacked into the data directory.
  const options = ['--ignore=tablespace_map', ...(withLog ? [] : ['--no-parse-wal'])];
  const words = async function* () {
    const isHashed = await unpacked.catch(() => undefined);
    if (isHashed !== undefined) yield isHashed ? 'hashed\n' : 'unread\n';
  };
  return host.run(run('sh', ['-c', WHEN_TOLD, 'sh', ...options, '/data']), {
    timeout: 12 * 3600,
    input: Readable.from(words()),
  });
}
