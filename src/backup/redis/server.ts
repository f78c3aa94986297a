import { setTimeout as sleep } from 'node:timers/promises';
import { runInside } from '#backup/inside';
import { DeployError } from '#core/errors';
import { lastLines, type Output } from '#core/run';
import type { Host } from '#resources/resource';

/** A server, and what it asks for. */
export interface Server {
  readonly container: string;
  readonly password?: string | undefined;
}

/** Seconds that a save may take, and milliseconds between looks at it. */
const LIMIT = 3 * 3600;
const PAUSE = 250;

const REFUSED = /^(?:\(error\) )?(?:[A-Z]*ERR|NOAUTH|WRONGPASS|NOPERM|MISCONF|LOADING) /;

// The password goes through the environment, which no list of processes shows.
function redisCli(host: Host, { container, password }: Server, words: readonly string[]): Promise<Output> {
  const secret = password === undefined ? [] : ['--env', 'REDISCLI_AUTH'];
  return runInside(host, ['docker', 'exec', '--interactive', ...secret, container, 'redis-cli', '--raw', ...words], {
    env: password === undefined ? {} : { REDISCLI_AUTH: password },
  });
}

/** Asks a server one thing; rejects with its own words where it refuses. */
export async function askRedis(host: Host, server: Server, words: readonly string[]): Promise<string> {
  const output = await redisCli(host, server, words);
  const said = output.stdout.trim();
  if (output.exitCode === 0 && !REFUSED.test(said)) return said;
  throw new DeployError('backup-failed', `Redis in ${server.container} refused ${words[0]}: ${lastLines(output)}`, {
    hint: `\`docker logs ${server.container}\` on the host shows what it says.`,
  });
}

/** What a server answers to PING, if anything: while it loads its data, that it does. */
export async function pingRedis(host: Host, server: Server): Promise<string> {
  return (await redisCli(host, server, ['PING'])).stdout.trim();
}

/** What `INFO` tells, as pairs. */
export function parseInfo(text: string): ReadonlyMap<string, string> {
  const pairs = text.split(/\r?\n/).flatMap((line): [string, string][] => {
    const colon = line.indexOf(':');
    return colon < 0 || line.startsWith('#') ? [] : [[line.slice(0, colon), line.slice(colon + 1)]];
  });
  return new Map(pairs);
}

/** What a server says of its saves. */
export interface Saves {
  /** Seconds since 1970 when it last saved well. */
  readonly last: number;
  readonly isBusy: boolean;
  readonly isWell: boolean;
}

/** What a server says of its saves, from `INFO persistence`. A child that rewrites the log keeps a save from starting. */
export function savesIn(info: ReadonlyMap<string, string>): Saves {
  const isOn = (key: string): boolean => (info.get(key) ?? '0') !== '0';
  return {
    last: Number(info.get('rdb_last_save_time') ?? 0),
    isBusy: isOn('rdb_bgsave_in_progress') || isOn('aof_rewrite_in_progress') || isOn('loading'),
    isWell: info.get('rdb_last_bgsave_status') === 'ok',
  };
}

async function untilIdle(host: Host, server: Server): Promise<Saves> {
  const deadline = performance.now() + LIMIT * 1000;
  for (;;) {
    const saves = savesIn(parseInfo(await askRedis(host, server, ['INFO', 'persistence'])));
    if (!saves.isBusy) return saves;
    if (performance.now() > deadline) {
      throw new DeployError('backup-failed', `Redis in ${server.container} has been saving for ${LIMIT / 3600} h.`, {
        hint: `\`docker logs ${server.container}\` on the host shows what it says.`,
      });
    }
    await sleep(PAUSE);
  }
}

/** Lets a server write all it holds to its disk, and rejects unless it has; resolves with the moment that was saved. */
export async function save(host: Host, server: Server): Promise<Date> {
  const before = await untilIdle(host, server);
  // The server counts in seconds: two saves in one could not be told apart.
  while (Math.floor(Date.now() / 1000) <= before.last) await sleep(PAUSE);
  const at = new Date();
  await askRedis(host, server, ['BGSAVE']);
  const after = await untilIdle(host, server);
  if (after.isWell && after.last > before.last) return at;
  throw new DeployError('backup-failed', `Redis in ${server.container} could not save what it holds.`, {
    hint: `\`docker logs ${server.container}\` on the host shows why: a full disk, or a folder that it may not write to.`,
  });
}

/** What redis-check-rdb says of a file. */
export interface Checked {
  readonly isWell: boolean;
  readonly keys: number;
  /** Keys that go at their time, and those whose time has come. */
  readonly expiring: number;
  readonly expired: number;
  /** Its last words, for a person. */
  readonly said: string;
}

/** What redis-check-rdb has printed, read. */
export function parseCheck(text: string): Checked {
  const count = (what: string): number => Number(new RegExp(`\\[info\\] (\\d+) ${what}`).exec(text)?.[1] ?? 0);
  const lines = text.trim().split('\n');
  return {
    isWell: text.includes('RDB looks OK'),
    keys: count('keys read'),
    expiring: count('expires'),
    expired: count('already expired'),
    said: (lines.findLast((line) => line.includes('---') || line.includes('Error')) ?? lines.at(-1) ?? '').trim(),
  };
}

/** Looks through a file of Redis's in a container; without the keys themselves. */
export async function checkDump(host: Host, container: string, path: string): Promise<Checked> {
  const argv = ['docker', 'exec', container, 'redis-check-rdb', path];
  const { stdout, stderr } = await runInside(host, argv, { timeout: LIMIT });
  return parseCheck(`${stdout}\n${stderr}`);
}
