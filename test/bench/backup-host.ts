import { type BackedUp, backedUp, DATABASE } from '#test/support/backed-up';
import { CLI } from './built.ts';
import { timed } from './measure.ts';

/** Where the receiver keeps the log that it has got. */
export const ARCHIVE = '/var/lib/slipway/backup/shop/sources/postgres/wal';

/** Bytes of a megabyte, as rates are told. */
export const MB = 1e6;

/** A host with a database of a size, backed up into one repository, and cron at work on it. */
export interface Ground extends AsyncDisposable {
  readonly there: BackedUp;
  /** Fills the database with so many megabytes; resolves with the bytes of the whole cluster. */
  fill(megabytes: number): Promise<number>;
  /** Seconds that a script takes as root of the host; rejects where it fails. */
  time(script: string): Promise<number>;
  /** Runs a verb of the built command line, with its seconds; it may fail. */
  cli(...argv: readonly string[]): Promise<{ readonly seconds: number; readonly output: string }>;
}

/** What half of the database is: rows as apps have them. The other half hardly compresses. */
const ROWS = { perScale: 15 * MB, perText: 76 };

/** Makes a host whose database is nearly empty. */
export async function ground(name: string): Promise<Ground> {
  const there = await backedUp({ name, crons: true, backups: { local: false } });
  await there.sql('CREATE TABLE ticks (at timestamptz);');
  return {
    there,
    async fill(megabytes) {
      const scale = Math.max(1, Math.round((megabytes * MB) / 2 / ROWS.perScale));
      const texts = Math.round((megabytes * MB) / 2 / ROWS.perText);
      await there.says(`docker exec ${DATABASE} pgbench --initialize --quiet --scale=${scale} --username=app app`, 600);
      await there.sql(`CREATE TABLE texts AS SELECT n AS id, md5(random()::text) AS text FROM generate_series(1, ${texts}) n;
        VACUUM; CHECKPOINT;`);
      return Number(await there.sql('SELECT sum(pg_database_size(oid)) FROM pg_database;'));
    },
    async time(script) {
      const began = performance.now();
      await there.says(script, 900);
      return (performance.now() - began) / 1000;
    },
    cli: (...argv) => timed([process.execPath, CLI, ...argv, '--project', there.project.folder], { expect: [0, 1] }),
    [Symbol.asyncDispose]: () => there[Symbol.asyncDispose](),
  };
}
