import { chown, link, mkdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { DeployError } from '#core/errors';
import { counted } from '#core/units';
import type { DrillCheck, SourceOf } from '#protocol/backup';
import type { Host } from '#resources/resource';
import { checked, copiedWhole, type Recipe } from './copies/engine.ts';
import { fetchTree } from './copies/fetch.ts';
import { type Note, noteSchema } from './copies/note.ts';
import { giveTo, imageFor, serve } from './copies/serve.ts';
import type { Held } from './copies/take.ts';
import type { Backups } from './engine.ts';
import { imageOf } from './postgres/image.ts';
import { askRedis, checkDump, parseInfo, pingRedis, type Server, save } from './redis/server.ts';
import { needRoom } from './room.ts';

type Redis = SourceOf<'redis'>;

/** What Redis writes a snapshot into; the folder is always mounted there. */
const DUMP = 'dump.rdb';
const MOUNT = '/data';

/** In the data folder, since a second name for a file must lie on the same disk as the first. */
const COPY = '.slipway-copy';

const SETTINGS = '/slipway/redis.conf';

/** Since this version the append-only file is a folder with a manifest. */
const PARTED = 7;
const APPENDED = 'appendonlydir';
const BASE = 'appendonly.aof.1.base.rdb';

/** A save that fails may make Redis refuse writes (`stop-writes-on-bgsave-error`): better not to begin it. */
async function needRoomToSave(storage: string): Promise<void> {
  const last = await stat(join(storage, DUMP)).catch(() => ({ size: 0 }));
  await needRoom(storage, 'save', 'What Redis holds', last.size);
}

/** Whether Redis saves by itself: one that does not must not find our snapshot when it starts. */
async function savesByItself(host: Host, source: Redis): Promise<boolean> {
  const [, points = ''] = (await askRedis(host, source, ['CONFIG', 'GET', 'save'])).split('\n');
  return points !== '';
}

async function hold({ host }: Backups, source: Redis): Promise<Held> {
  const { storage, container } = source;
  const copy = join(storage, COPY);
  await needRoomToSave(storage);
  const info = parseInfo(await askRedis(host, source, ['INFO', 'server']));
  const isNew = (await host.stat(join(storage, DUMP))) === undefined;
  const isForeign = isNew && !(await savesByItself(host, source));
  await rm(copy, { recursive: true, force: true });
  const at = await save(host, source);
  try {
    await mkdir(copy, { mode: 0o755 });
    // Redis replaces its snapshot by renaming; by this name it stays as it is.
    await link(join(storage, DUMP), join(copy, DUMP));
    if (isForeign) await rm(join(storage, DUMP));
    const { isWell, keys, expiring, said } = await checkDump(host, container, `${MOUNT}/${COPY}/${DUMP}`);
    if (!isWell) {
      throw new DeployError('backup-failed', `What Redis in ${container} has saved is not whole: ${said}`, {
        hint: `\`docker logs ${container}\` on the host shows what it says; look at the disk too.`,
      });
    }
    const image = (await imageOf(host, container)).digest;
    return {
      at,
      args: [copy],
      note: { root: copy, image, version: info.get('redis_version') ?? '0', counts: { keys, expiring } },
      [Symbol.asyncDispose]: () => rm(copy, { recursive: true, force: true }),
    };
  } catch (error) {
    await rm(copy, { recursive: true, force: true });
    throw error;
  }
}

/**
 * Lays a snapshot where the server reads it. One with an append-only file reads nothing else at its start, so the
 * snapshot becomes the base of that: Redis writes it in the same format itself.
 */
async function layOut(data: string, aof: boolean, version = '0'): Promise<void> {
  if (!aof) return;
  const owner = await stat(join(data, DUMP));
  if (Number.parseInt(version, 10) < PARTED) return rename(join(data, DUMP), join(data, 'appendonly.aof'));
  const folder = join(data, APPENDED);
  await mkdir(folder);
  await rename(join(data, DUMP), join(folder, BASE));
  await writeFile(join(folder, 'appendonly.aof.manifest'), `file ${BASE} seq 1 type b\n`, { mode: 0o600 });
  for (const path of [folder, join(folder, 'appendonly.aof.manifest')]) await chown(path, owner.uid, owner.gid);
}

/** What a check of the restored snapshot found, and what the server then held. */
async function prove(host: Host, server: Server, aof: boolean, note: Note): Promise<readonly DrillCheck[]> {
  const { keys = 0, expiring = 0 } = note.counts;
  const parted = Number.parseInt(note.version ?? '0', 10) >= PARTED;
  const path = !aof ? DUMP : parted ? `${APPENDED}/${BASE}` : 'appendonly.aof';
  return [
    await checked('redis-check-rdb', async () => {
      const found = await checkDump(host, server.container, `${MOUNT}/${path}`);
      const isWell = found.isWell && found.keys === keys;
      return {
        isWell,
        found: isWell
          ? `${counted(keys, 'key')}, as when it was copied`
          : `${found.keys} of ${keys} keys: ${found.said}`,
      };
    }),
    await checked('keys', async () => {
      const held = Number(await askRedis(host, server, ['DBSIZE']));
      // Those that had a time may have met it since.
      const isWell = held <= keys && held >= keys - expiring;
      const gone = held < keys ? `; ${expiring} had a time to go` : '';
      return { isWell, found: `the server holds ${held} of ${counted(keys, 'key')}${gone}` };
    }),
  ];
}

/** What a server on restored data is told: it is asked as the one in use is, and writes nothing by itself. */
function redisSettings({ aof, password }: Pick<Redis, 'aof' | 'password'>): string {
  const lines = [`dir ${MOUNT}`, 'save ""', 'protected-mode no', `appendonly ${aof ? 'yes' : 'no'}`];
  return `${[...lines, ...(password === undefined ? [] : [`requirepass ${JSON.stringify(password)}`])].join('\n')}\n`;
}

const recipe: Recipe<Redis> = {
  hold,
  async bring(_backups, { aof }, { snapshot, note }, { store, folder, phase }) {
    const data = join(folder, 'data');
    const checks = [await fetchTree(store, snapshot, note.root, data)];
    phase('laying it out');
    const { uid, gid } = await stat(join(data, DUMP));
    await layOut(data, aof, note.version);
    await giveTo(data, { uid, gid });
    return { data, checks };
  },
  async revive(backups, source, { data, kept }, berth) {
    const { host } = backups;
    const { uid, gid } = await stat(data);
    const { aof, password } = source;
    const settings = join(dirname(data), 'redis.conf');
    await writeFile(settings, redisSettings({ aof, password }), { mode: 0o600 });
    await chown(settings, uid, gid);
    return serve(backups, {
      ...{ berth, data, mount: MOUNT, user: { uid, gid } },
      image: await imageFor(host, source, noteSchema.parse(kept).image),
      files: { [settings]: SETTINGS },
      command: ['redis-server', SETTINGS],
      answers: async () => (await pingRedis(host, { container: berth.name, password })) === 'PONG',
    });
  },
  prove: ({ host }, { aof, password }, container, _data, note) => prove(host, { container, password }, aof, note),
  sizeOf: (bytes) => bytes,
};

/** Redis: a snapshot that it writes itself, whether or not it keeps an append-only file. */
export const redis = copiedWhole(recipe);
