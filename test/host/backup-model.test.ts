import * as fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { BackupJob } from '#protocol/backup';
import { type BackedUp, backedUp, DATABASE, OFFSITE } from '#test/support/backed-up';
import { onRestored } from '#test/support/restored';
import { alarmsOf, copiesOf, drillOf, leftoversOf, silence } from '#test/support/standing';

const RECEIVER = `${DATABASE}-receiver`;
const SOURCE = '/var/lib/slipway/backup/shop/sources/postgres';

/** How many things are done and happen to one host. */
const STEPS = 25;

let box: BackedUp;

/** Whether the repository off the host is there, and whether the watch has looked since something was in the way of the log. */
let isThere = true;
let isReceived = true;

/** A full copy that the watch has asked for is at work by itself, and others wait for it. */
const alone = () =>
  expect
    .poll(async () => (await box.inside('systemctl is-active slipway-backup-shop-postgres-full')).code, {
      timeout: 120_000,
    })
    .not.toBe(0);

/**
 * Runs a job. What has ended well has brought a whole copy to both repositories, and what nothing is in the way of ends
 * well.
 */
async function run(job: BackupJob, source?: string): Promise<void> {
  await alone();
  const since = new Date().toISOString().slice(0, 19);
  const { code, said, records } = await box.job(job, source);
  if (job === 'watch') {
    isReceived = true;
    return;
  }
  expect(code, said).toBeOneOf(isThere ? (isReceived ? [0] : [0, 1]) : [1]);
  if (isReceived) expect(records.find(({ repository }) => repository === 'local')?.result, said).toBe('done');
  if (code !== 0 || source === undefined) return;
  const made = (await copiesOf(box, 'postgres')).filter(({ at, complete }) => complete && at >= since);
  expect(made.map(({ repository }) => repository).sort(), said).toEqual(['local', 'offsite']);
}

/** Kills what a job has begun at some moment of it. */
async function killed(job: BackupJob, source: string, after: number): Promise<void> {
  await alone();
  await box.says(
    `setsid /opt/slipway/current/slipway-host backup ${job} shop ${source} --now > /dev/null 2>&1 < /dev/null &
     sleep ${after / 1000}; pkill -KILL -f '[s]lipway-host.mjs backup ${job} shop'; pkill -KILL -x restic; true`,
  );
}

const serves = () =>
  expect
    .poll(async () => (await box.inside(`docker exec ${DATABASE} psql -h 127.0.0.1 -U app -d app -c ''`)).code, {
      timeout: 60_000,
    })
    .toBe(0);

/** Has something happen that is in the way of the log. */
async function harm(script: string): Promise<void> {
  isReceived = false;
  await box.says(script);
  await serves();
}

/** What is done, and what happens, each at some moment `after` so many milliseconds of something else. */
const STEP: Readonly<Record<string, (after: number) => Promise<unknown>>> = {
  'rows are written': (after) =>
    box.sql(`INSERT INTO rows SELECT nextval('ids'), md5(random()::text) FROM generate_series(1, ${1 + after * 5});`),
  'a segment ends': () => box.sql('SELECT pg_switch_wal();'),
  'the watch looks': () => run('watch'),
  'a full copy is taken': () => run('full', 'postgres'),
  'an incremental one is taken': () => run('incremental', 'postgres'),
  'a dump is taken': () => run('dump', 'postgres'),
  'what has expired is removed': () => run('prune'),
  'a full copy is killed': (after) => killed('full', 'postgres', after),
  'a dump is killed': (after) => killed('dump', 'postgres', after),
  'the watch is killed': async (after) => {
    await box.sql('SELECT pg_switch_wal();');
    await killed('watch', '', after / 2);
  },
  'the receiver is killed': () => harm('pkill -KILL -x pg_receivewal; true'),
  'the receiver is stopped': () => harm(`docker stop ${RECEIVER}`),
  'the slot is dropped': () =>
    harm(`docker stop ${RECEIVER}
      docker exec ${DATABASE} psql -U app -d app -c "SELECT pg_drop_replication_slot('slipway')"; true`),
  'the archive is emptied': () => harm(`rm -rf ${SOURCE}/wal`),
  'the database crashes': () => harm(`kill -9 $(docker inspect --format '{{.State.Pid}}' ${DATABASE})`),
  'Docker starts again': () => harm('systemctl reset-failed docker docker.socket; systemctl restart docker'),
  'the repository goes away': async () => {
    if (isThere) await box.says(`mv ${OFFSITE} ${OFFSITE}.away`);
    isThere = false;
  },
  'the repository comes back': () => comesBack(),
};

async function comesBack(): Promise<void> {
  if (!isThere) await box.says(`rm -rf ${OFFSITE}; mv ${OFFSITE}.away ${OFFSITE}`);
  isThere = true;
}

beforeAll(async () => {
  box = await backedUp({ name: 'model' });
  await silence(box);
  await box.sql('CREATE SEQUENCE ids; CREATE TABLE rows (id bigint, filler text);');
  await box.job('watch');
  const { code, said } = await box.job('full', 'postgres');
  expect(code, said).toBe(0);
}, 600_000);

afterAll(() => box?.[Symbol.asyncDispose]());

test('whatever is done and happens in whatever order, all is restored once nothing is in the way any more', async () => {
  const step = fc.record({ what: fc.constantFrom(...Object.keys(STEP)), after: fc.nat(4000) });
  const done: string[] = [];
  const property = fc.asyncProperty(fc.array(step, { minLength: STEPS, maxLength: STEPS }), async (steps) => {
    for (const { what, after } of steps) {
      done.push(`${what} (${after})`);
      await STEP[what]?.(after);
      // Whatever becomes of its backups, the database takes what is written.
      await box.sql(`INSERT INTO rows VALUES (nextval('ids'), 'after ${what}');`);
    }
    await comesBack();
    await run('watch');
    for (const job of ['full', 'incremental', 'dump'] as const) await run(job, 'postgres');
    await run('prune');
    await box.sql(`INSERT INTO rows VALUES (nextval('ids'), 'the last');`);
    await run('watch');
    expect(await alarmsOf(box)).toEqual([]);
    expect(await leftoversOf(box)).toBe('');
    const { verdict, why } = await drillOf(box);
    expect(verdict, why).toBe('passed');
    const question = `SELECT count(*), max(id), md5(string_agg(filler, ',' ORDER BY id)) FROM rows`;
    expect(await onRestored(box, 'latest', (psql) => `${psql} "${question}"`)).toBe(await box.sql(question));
  });
  const { failed, seed, errorInstance } = await fc.check(property, { numRuns: 1, endOnFailure: true, unbiased: true });
  if (failed) throw new Error(`${done.join(', ')} (seed ${seed})`, { cause: errorInstance });
}, 900_000);
