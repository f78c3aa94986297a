import { join } from 'node:path';
import { type Output, run } from '#core/run';
import type { Repository } from '#protocol/backup';
import type { Objects, StoredObject } from './objects.ts';
import { unanswered, whySilent } from './probe.ts';
import type { Place } from './repository.ts';

type S3Place = Extract<Place, { type: 's3' }>;

type Must = (what: string, output: Output) => Output;

/** How rclone is told of a bucket: by its environment, so that no secret is in a file or an argument. */
function environmentOf(
  { endpoint }: S3Place,
  credentials: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  const region = credentials['AWS_REGION'] ?? credentials['AWS_DEFAULT_REGION'];
  return {
    ...credentials,
    RCLONE_CONFIG_STORE_TYPE: 's3',
    RCLONE_CONFIG_STORE_PROVIDER: new URL(endpoint).hostname.endsWith('.amazonaws.com') ? 'AWS' : 'Other',
    RCLONE_CONFIG_STORE_ENV_AUTH: 'true',
    RCLONE_CONFIG_STORE_ENDPOINT: endpoint,
    // Keys for backups may neither make buckets nor look at them.
    RCLONE_CONFIG_STORE_NO_CHECK_BUCKET: 'true',
    ...(region === undefined ? {} : { RCLONE_CONFIG_STORE_REGION: region }),
  };
}

/** A peer that says nothing is given up after a minute; a run that failed is tried again by the next job. */
const PATIENCE = [
  ...['--contimeout', '20s', '--timeout', '1m', '--retries', '1', '--low-level-retries', '2'],
  ...['--config', '/dev/null', '--log-level', 'ERROR'],
];

/** rclone's exit code where there is no such folder. */
const NO_FOLDER = 3;

/** Objects in a bucket, by rclone: S3 itself makes each appear whole. */
export function s3Objects(
  place: S3Place,
  { credentials, ca: authorities }: Pick<Repository, 'credentials' | 'ca'>,
  ca: string | undefined,
  must: Must,
): Objects {
  const env = environmentOf(place, credentials);
  const authority = ca === undefined ? [] : ['--ca-cert', ca];
  const at = (prefix: string): string =>
    `store:${[place.bucket, place.path, prefix].filter((part) => part !== '').join('/')}`;
  const rclone = async (args: readonly string[], timeout: number, names: readonly string[] = []): Promise<Output> => {
    const why = await whySilent(place, authorities);
    if (why !== undefined) return unanswered(['rclone', ...args], why);
    return run(
      ['rclone', ...PATIENCE, ...authority, ...args, ...(names.length === 0 ? [] : ['--files-from-raw', '-'])],
      {
        env,
        timeout,
        ...(names.length === 0 ? {} : { input: `${names.join('\n')}\n` }),
      },
    );
  };

  async function look(
    prefix: string,
    args: readonly string[],
    names?: readonly string[],
  ): Promise<readonly StoredObject[]> {
    const what = ['--recursive', '--files-only', '--no-modtime', '--no-mimetype'];
    const output = await rclone(['lsjson', ...what, ...args, at(prefix)], 300, names);
    if (output.exitCode === NO_FOLDER) return [];
    const found = JSON.parse(must('Listing objects in', output).stdout) as readonly { Path: string; Size: number }[];
    return found
      .filter(({ Path }) => !Path.includes('/.') && !Path.startsWith('.'))
      .map(({ Path, Size }) => ({ name: join(prefix, Path), size: Size }));
  }

  return {
    async put(folder, prefix, files) {
      const names = files.map(({ name }) => name);
      const bytes = files.reduce((sum, { size }) => sum + size, 0);
      // Asked for one by one: a generation holds thousands, and only these few are wanted.
      const few = ['--no-traverse', '--size-only'];
      must(
        'Putting objects into',
        await rclone(['copy', '--immutable', ...few, folder, at(prefix)], 120 + bytes / 64_000, names),
      );
      return look(prefix, ['--no-traverse'], names);
    },
    list: (prefix) => look(prefix, []),
    async fetch(prefix, names, folder) {
      must('Fetching objects from', await rclone(['copy', '--no-traverse', at(prefix), folder], 6 * 3600, names));
    },
    async remove(prefix, names) {
      must('Removing objects from', await rclone(['delete', '--no-traverse', at(prefix)], 600, names));
    },
  };
}
