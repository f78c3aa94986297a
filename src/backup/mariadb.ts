import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { DeployError } from '#core/errors';
import { pipeline } from '#core/pipeline';
import { lastLines } from '#core/run';
import { counted } from '#core/units';
import type { DrillCheck, SourceOf } from '#protocol/backup';
import type { Host } from '#resources/resource';
import { checked, copiedWhole, type Found, type Recipe } from './copies/engine.ts';
import { type Note, noteSchema } from './copies/note.ts';
import { imageFor, serve } from './copies/serve.ts';
import type { Held } from './copies/take.ts';
import type { Backups, Wish } from './engine.ts';
import { type Scanned, scanDump } from './mariadb/scan.ts';
import {
  faultsOf,
  isAlive,
  OWN,
  programOf,
  query,
  quoted,
  type Server,
  withoutTransactions,
} from './mariadb/server.ts';
import { imageOf } from './postgres/image.ts';
import { LONG } from './snapshots.ts';
import type { Store } from './store/store.ts';

type Mariadb = SourceOf<'mariadb' | 'mysql'>;

/** Where the image keeps its data. */
const MOUNT = '/var/lib/mysql';

/** What a server on restored data must not do: write a log of its own, run what is due. */
const QUIET = ['--skip-log-bin', '--event-scheduler=OFF'];

/** Everything in one transaction; binary as digits, so that no character set can change it. */
function dumpArgs(type: Mariadb['type']): readonly string[] {
  return [
    ...['--all-databases', '--single-transaction', '--quick', '--routines', '--triggers', '--events'],
    ...['--hex-blob', '--flush-privileges', '--default-character-set=utf8mb4'],
    // Restored, it is a server with a history of its own.
    ...(type === 'mysql' ? ['--set-gtid-purged=OFF', '--no-tablespaces'] : []),
  ];
}

const pathOf = ({ name }: Pick<Mariadb, 'name'>): string => `/${name}.sql`;

/** Reads a dump in a repository from its beginning to its end. */
async function scanStored(source: Mariadb, store: Store, snapshot: string): Promise<Scanned> {
  const [program = '', ...args] = store.direct.argv(['dump', snapshot, pathOf(source)]);
  const env = { ...process.env, ...store.direct.environment };
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], env });
  const said: string[] = [];
  child.stderr.setEncoding('utf8').on('data', (text: string) => said.push(text));
  const ended = new Promise<number | null>((resolve, reject) => child.once('error', reject).once('close', resolve));
  const scanner = scanDump();
  for await (const piece of child.stdout) scanner.push(piece as Buffer);
  if ((await ended) === 0) return scanner.end();
  throw new DeployError(
    'copy-broken',
    `Snapshot ${snapshot} in ${store.name} cannot be read:\n${said.join('').trim()}`,
    {
      hint: 'Take a new copy at once with `deploy backup now <environment>`.',
    },
  );
}

/** Rows by table of what was dumped, without the server's own, which change by themselves. */
async function countsIn(source: Mariadb, store: Store, snapshot: string) {
  const { rows, isWhole } = await scanStored(source, store, snapshot);
  if (!isWhole) {
    throw new DeployError('backup-failed', `The dump of ${source.container} ends before its last line.`, {
      hint: `\`docker logs ${source.container}\` on the host shows what its server says.`,
    });
  }
  return Object.fromEntries(Object.entries(rows).filter(([table]) => !OWN.includes(table.split('.')[0] ?? '')));
}

async function hold(backups: Backups, source: Mariadb): Promise<Held> {
  const { host } = backups;
  const [[version = ''] = []] = await query(host, source, 'SELECT VERSION();');
  const loose = await withoutTransactions(host, source);
  const reservations = loose.map(
    (table) => `${table} is written without transactions: it is copied as it was in passing`,
  );
  const { argv, env } = programOf(source, 'dump', dumpArgs(source.type));
  return {
    at: new Date(),
    args: ['--stdin-from-command', '--stdin-filename', pathOf(source), '--', ...argv],
    env,
    note: { root: pathOf(source), image: (await imageOf(host, source.container)).digest, version, counts: {} },
    reservations,
    inspect: (store, snapshot) => countsIn(source, store, snapshot),
    async [Symbol.asyncDispose]() {},
  };
}

/** Starts a server on an empty folder and lets it take in a dump; what is left is the folder. */
async function load(backups: Backups, source: Mariadb, { snapshot, note }: Found, wish: Wish): Promise<string> {
  const { host } = backups;
  const { store, labels, phase } = wish;
  const data = join(wish.folder, 'data');
  await mkdir(data);
  const name = `slipway-restore-${randomBytes(4).toString('hex')}`;
  const { type } = source;
  const server: Server = { type, container: name, user: 'root' };
  phase('making an empty server');
  await using _server = await serve(backups, {
    ...{ berth: { name, options: labels }, data, mount: MOUNT, command: QUIET },
    image: await imageFor(host, source, note.image),
    // Nobody reaches it, and the dump brings the passwords.
    env: { MARIADB_ALLOW_EMPTY_ROOT_PASSWORD: '1', MYSQL_ALLOW_EMPTY_PASSWORD: '1' },
    // While it is made ready it is only reached by its socket.
    answers: () => isAlive(host, server, ['--protocol=tcp', '--host=127.0.0.1']),
  });
  phase('taking in the dump');
  const dump = store.direct.argv(['dump', snapshot, note.root]);
  const client = programOf(server, 'client', ['--default-character-set=utf8mb4']);
  const { ok, why } = await pipeline([dump, client.argv], { env: store.direct.environment, timeout: LONG });
  if (!ok) {
    throw new DeployError(
      'copy-broken',
      `The dump in snapshot ${snapshot} in ${store.name} cannot be taken in:\n${why}`,
      {
        hint: 'Take a new copy at once with `deploy backup now <environment>`; an older one may be whole.',
      },
    );
  }
  await host.must(['docker', 'stop', '-t', '600', name], { timeout: 660 });
  return data;
}

async function checkTables(host: Host, server: Server): Promise<DrillCheck> {
  return checked('tables', async () => {
    const { argv, env } = programOf(server, 'check', ['--all-databases', '--check']);
    const output = await host.run(argv, { env, timeout: LONG });
    const faults = faultsOf(output.stdout);
    if (output.exitCode !== 0) return { isWell: false, found: lastLines(output) };
    return { isWell: faults.length === 0, found: faults.length === 0 ? 'all are well' : faults.slice(0, 5).join('; ') };
  });
}

async function checkRows(host: Host, server: Server, counts: Note['counts']): Promise<DrillCheck> {
  return checked('rows', async () => {
    const differing: string[] = [];
    for (const [table, expected] of Object.entries(counts)) {
      const dot = table.indexOf('.');
      const name = `${quoted(table.slice(0, dot))}.${quoted(table.slice(dot + 1))}`;
      const counted = await query(host, server, `SELECT COUNT(*) FROM ${name};`, { timeout: 3600 }).catch(() => []);
      const found = counted[0]?.[0] ?? 'no table';
      if (found !== String(expected)) differing.push(`${table}: ${found} instead of ${expected}`);
    }
    const tables = Object.keys(counts).length;
    const rows = Object.values(counts).reduce((sum, count) => sum + count, 0);
    const isWell = differing.length === 0;
    return {
      isWell,
      found: isWell
        ? `${counted(rows, 'row')} in ${counted(tables, 'table')}, as in the dump`
        : differing.slice(0, 5).join('; '),
    };
  });
}

const recipe: Recipe<Mariadb> = {
  hold,
  async bring(backups, source, found, wish) {
    return { data: await load(backups, source, found, wish), checks: [] };
  },
  async revive(backups, source, { data, kept }, berth) {
    const { host } = backups;
    const { uid, gid } = await stat(join(data, 'mysql'));
    return serve(backups, {
      ...{ berth, data, mount: MOUNT, user: { uid, gid } },
      image: await imageFor(host, source, noteSchema.parse(kept).image),
      command: QUIET,
      answers: () => isAlive(host, { ...source, container: berth.name }),
    });
  },
  async prove({ host }, source, container, _data, note) {
    const server: Server = { ...source, container };
    return [await checkTables(host, server), await checkRows(host, server, note.counts)];
  },
  // Indexes are not in a dump, and an empty server has files of its own.
  sizeOf: (bytes) => Math.ceil(bytes * 2.5) + 300e6,
};

/** MariaDB and MySQL: a dump of all databases by the server's own program, in one transaction. */
export const mariadb = copiedWhole(recipe);
