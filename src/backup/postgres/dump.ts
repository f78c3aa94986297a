import type { Backups, Done } from '#backup/engine';
import { orDiscard, takeSnapshot } from '#backup/snapshots';
import { stampOf } from '#core/stamp';
import type { PostgresSource } from '#protocol/backup';
import { databasesOf, endLeftovers } from './counts.ts';
import { deliver, makeInFirst, putNote, tagsOf } from './deliver.ts';
import { imageOf } from './image.ts';
import type { DumpNote } from './notes.ts';
import { pgCommand, readCluster } from './server.ts';

/** What the server knows our dumps by. */
const APPLICATION = 'slipway-dump';

interface File {
  readonly path: string;
  readonly database?: string;
  readonly command: readonly string[];
}

/** A database's name as a path has it, whatever it consists of. */
function pathOf(source: string, database: string): string {
  return `${source}.${encodeURIComponent(database)}.dump`;
}

// What looks like a connection string is taken for one; written as one, a name is a name.
function only(database: string): string {
  return `dbname='${database.replaceAll(/[\\']/g, '\\$&')}'`;
}

// Compressed by restic, which finds what the dump of last week had too; compressed by pg_dump, it would find nothing.
function filesOf({ name, container, user }: PostgresSource, databases: readonly string[]): readonly File[] {
  const program = (argv: readonly string[]) => pgCommand(container, 'env', [`PGAPPNAME=${APPLICATION}`, ...argv]);
  const account = [`--username=${user}`, '--no-password'];
  return [
    { path: `${name}.globals.sql`, command: program(['pg_dumpall', '--globals-only', ...account]) },
    ...databases.map((database) => ({
      path: pathOf(name, database),
      database,
      command: program(['pg_dump', '--format=custom', '--compress=0', ...account, `--dbname=${only(database)}`]),
    })),
  ];
}

/** Dumps every database and the roles: a second format, which another version can read and which reads every row. */
export async function takeDump(backups: Backups, source: PostgresSource): Promise<readonly Done[]> {
  const { host } = backups;
  const image = await imageOf(host, source.container);
  const { version } = await readCluster(host, source);
  const files = filesOf(source, await databasesOf(host, source));
  const began = new Date();
  const id = stampOf(began);
  const made = await makeInFirst(backups, async (store) => {
    await endLeftovers(host, source, APPLICATION);
    const tags = tagsOf(source.name, { kind: 'dump', id });
    const sum = { bytes: 0, added: 0 };
    const snapshots: string[] = [];
    const take = async ({ path, command, database }: File): Promise<void> => {
      const what = database === undefined ? 'The dump of the roles' : `The dump of ${database}`;
      const stdin = ['--stdin-filename', path, '--stdin-from-command', '--'];
      const { bytes, added, snapshot } = await takeSnapshot(store, what, tags, [...stdin, ...command]);
      sum.bytes += bytes;
      sum.added += added;
      snapshots.push(snapshot);
    };
    const note: DumpNote = {
      ...{ kind: 'dump', id, at: began.toISOString(), version, image: image.digest, bytes: 0 },
      files: files.map(({ path, database }) => ({ path: `/${path}`, ...(database === undefined ? {} : { database }) })),
    };
    return orDiscard(store, snapshots, async () => {
      for (const file of files) await take(file);
      const whole = { ...note, bytes: sum.bytes };
      await putNote(backups, source, store, whole);
      return { note: whole, added: sum.added, snapshot: snapshots.join(' ') };
    });
  });
  const details = { kind: 'dump', version, image: image.digest, databases: files.length - 1 };
  return deliver(backups, source, made, details);
}
