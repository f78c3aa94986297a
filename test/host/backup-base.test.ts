import { createHash } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { BackupRecord } from '#protocol/backup';
import { type BackedUp, backedUp, DATABASE } from '#test/support/backed-up';
import { ask } from '#test/support/release';

const RUNNER = '/opt/slipway/current/slipway-host';
const RECORDS = '/var/lib/slipway/backup/shop/records.ndjson';
const OBJECTS = '/srv/offsite/vps/objects';
/** restic as somebody who has only the key and the folder. */
const restic = (repository: string, args: string): string =>
  `RESTIC_PASSWORD_FILE=/etc/slipway/backups/shop.key restic --no-cache --repo ${repository} ${args}`;
const LOCAL = '/var/backups/slipway/shop/vps/restic';
const OFFSITE = '/srv/offsite/vps/restic';

let box: BackedUp;

/** Every snapshot and every note in both repositories. */
async function stored(): Promise<string> {
  const notes = 'find /srv/offsite/vps/objects/bases /var/backups/slipway/shop/vps/objects/bases -type f | sort';
  const ids = [LOCAL, OFFSITE].map((repository) => `${restic(repository, 'list snapshots --no-lock')} | sort`);
  return box.says([notes, ...ids].join('\n'));
}

const results = (records: readonly BackupRecord[]) => records.map(({ result }) => result);
const why = (records: readonly BackupRecord[]): string => records.map((one) => one.why ?? '').join('\n');

/** Runs a job, and kills a program by its name, once `when` is so, over and over until the job has ended. */
async function jobWhile(job: string, program: string, when = 'true'): Promise<{ code: number | null; said: string }> {
  return box.inside(
    `${RUNNER} backup ${job} shop postgres --now & job=$!
     while kill -0 $job 2> /dev/null; do
       for victim in $(pgrep -f '${program}'); do ${when} && kill -KILL $victim 2> /dev/null; done; sleep 0.05
     done; wait $job`,
    300,
  );
}

/** Starts the database, and has it watched, as cron does each minute: its receiver has gone with it. */
async function start(how: 'start' | 'restart' = 'start'): Promise<void> {
  const ready = `docker exec ${DATABASE} pg_isready -q -h 127.0.0.1`;
  await box.says(`docker ${how} ${DATABASE}; until ${ready}; do sleep 0.3; done`);
  await box.job('watch');
}

/** The SQL that the database in a container would be made anew with, as a hash. */
const hashOf = (container: string): string =>
  `docker exec ${container} pg_dump -U app app | grep -v '^.\\(un\\)\\?restrict' | sha256sum`;

beforeAll(async () => {
  box = await backedUp({ name: 'base-copies', backups: { keep: '1d', atLeast: 2 } });
  // An inventory may not say so little; a test has no days.
  await box.says(
    `sed -i 's/"keep": 86400/"keep": 1/' /etc/slipway/backups/shop.json; grep -q '"keep": 1,' /etc/slipway/backups/shop.json`,
  );
  await box.sql(`create table goods as select g as id, md5(g::text) as name, repeat(md5((g * 7)::text), 6) as text
                   from generate_series(1, 60000) g; create index on goods (name); create database "ware's house";`);
});
afterAll(() => box[Symbol.asyncDispose]());

test('a full copy counts in both repositories, and its note tells what is in it', async () => {
  const { code, records } = await box.job('full', 'postgres');
  expect({ code, why: why(records) }).toEqual({ code: 0, why: '\n' });
  expect(records.map(({ repository, result }) => [repository, result])).toEqual([
    ['local', 'done'],
    ['offsite', 'done'],
  ]);
  for (const repository of [LOCAL, OFFSITE]) {
    expect(await box.says(`${restic(repository, 'snapshots --json')} | grep -o 'kind=[a-z]*'`)).toBe('kind=full');
  }
  const note = await box.says(
    `age --decrypt --identity /etc/slipway/backups/shop.key ${OBJECTS}/bases/postgres/* | zstd --decompress`,
  );
  const { counts, start, stop } = JSON.parse(note) as {
    counts: { database: string; lsn: string; tables: unknown[] }[];
    start: string;
    stop: string;
  };
  expect(counts.map(({ database, tables }) => [database, tables])).toEqual([
    ['app', [{ schema: 'public', name: 'goods', rows: 60000, exact: true }]],
    ['postgres', []],
    ["ware's house", []],
  ]);
  expect(
    await box.sql(
      `select '${start}'::pg_lsn < '${stop}'::pg_lsn and '${stop}'::pg_lsn <= '${counts[0]?.lsn}'::pg_lsn;`,
    ),
  ).toBe('t');
  // Its log is beside it.
  const segment = await box.sql(`select pg_walfile_name('${stop}'::pg_lsn);`);
  expect(await box.says(`find ${OBJECTS}/wal -name '${segment}.*'`)).not.toBe('');
});

test('an incremental and its full together are the database', async () => {
  await box.sql("update goods set name = 'new' where id % 50 = 0; create table more as select 1 as one;");
  const { code, records } = await box.job('incremental', 'postgres');
  expect({ code, why: why(records), kinds: records.map(({ details }) => details?.kind) }).toEqual({
    ...{ code: 0, why: '\n', kinds: ['incremental', 'incremental'] },
  });
  const unpack = (kind: string) =>
    `${restic(OFFSITE, `dump --tag kind=${kind} latest /postgres.tar`)} | tar -x -C /srv/both/${kind}`;
  const hashes = await box.says(
    `set -e; image=$(docker inspect -f '{{.Image}}' ${DATABASE}); rm -rf /srv/both
     mkdir -p /srv/both/full /srv/both/incremental; ${unpack('full')}; ${unpack('incremental')}
     docker run --rm --user 0:0 --network none -v /srv/both:/both --entrypoint pg_combinebackup $image \
       /both/full /both/incremental --output=/both/data --no-sync
     chown -R 999:999 /srv/both/data; chmod 700 /srv/both/data
     docker run -d --name both --network none --user 999:999 -v /srv/both/data:/var/lib/postgresql/data $image > /dev/null
     until docker exec both pg_isready -q -h 127.0.0.1 -U app; do sleep 0.2; done
     ${hashOf('both')}; ${hashOf(DATABASE)}; docker rm -f -v both > /dev/null; rm -rf /srv/both`,
  );
  const [restored, original] = hashes.split('\n');
  expect(restored).toBe(original);
});

test('where the server cannot tell what has changed, the whole is copied instead', async () => {
  await box.sql('alter system set summarize_wal = off; select pg_reload_conf();');
  const { code, records } = await box.job('incremental', 'postgres');
  await box.sql('alter system set summarize_wal = on; select pg_reload_conf();');
  expect({ code, results: results(records) }).toEqual({ code: 0, results: ['done', 'done'] });
  expect(records[0]?.details).toMatchObject({ kind: 'full', because: expect.stringContaining('summar') });
});

test('with a tablespace outside the data directory everything is copied, and comes back within it', async () => {
  await box.says(`docker exec ${DATABASE} mkdir --mode=0700 /tmp/elsewhere`);
  await box.sql("create tablespace elsewhere location '/tmp/elsewhere';");
  await box.sql('create table far tablespace elsewhere as select generate_series(1, 1000) as one; checkpoint;');
  const { code, records } = await box.job('full', 'postgres');
  expect({ code, why: why(records) }).toEqual({ code: 0, why: '\n' });
  const { events, error } = await ask(box.host, {
    ...{ verb: 'restore', app: 'shop', environment: 'prod', by: 'tests', only: 'postgres' },
    ...{ to: 'latest', into: 'scratch', from: 'offsite', preview: false },
  });
  expect(error?.message).toBeUndefined();
  const path = events.find((event) => event.type === 'restore.done')?.path;
  const rows = await box.says(
    `docker run -d --name far --network none -v ${path}:/var/lib/postgresql/data $(docker inspect -f '{{.Image}}' ${DATABASE}) > /dev/null
     until docker exec far pg_isready -q -h 127.0.0.1 -U app; do sleep 0.2; done
     docker exec far psql -X -A -t -U app -c 'select count(*) from far'; docker rm -f -v far > /dev/null; rm -rf $(dirname ${path})`,
  );
  expect(rows).toBe('1000');
  await box.sql('drop table far;');
  await box.sql('drop tablespace elsewhere;');
});

test('a copy that is cut off leaves nothing, touches nothing, and the next one is whole', async () => {
  const before = await stored();
  const cut = await jobWhile('full', '^pg_basebackup');
  expect(cut.code, cut.said).toBe(1);
  expect(await stored()).toBe(before);

  await box.says(`docker stop ${DATABASE}`);
  const down = await box.job('full', 'postgres');
  expect({ code: down.code, results: results(down.records) }).toEqual({ code: 1, results: ['error'] });
  await start();
  expect(await stored()).toBe(before);

  // A lock counts once it has its own name; restic writes it under another.
  const locked = `ls ${LOCAL}/locks | grep -qx '[0-9a-f]\\{64\\}'`;
  const killed = await jobWhile('full', '^restic .*backup --json', locked);
  expect(killed.code, killed.said).toBe(1);
  expect(await stored()).toBe(before);
  // What a killed restic holds keeps nobody out.
  expect(await box.says(restic(LOCAL, 'list locks --no-lock'))).not.toBe('');
  const pruned = await box.job('prune');
  expect({ code: pruned.code, why: why(pruned.records) }).toEqual({ code: 0, why: '\n' });

  const { code, records } = await box.job('full', 'postgres');
  expect({ code, results: results(records) }).toEqual({ code: 0, results: ['done', 'done'] });
  expect(await box.sql("select count(*) from pg_stat_activity where application_name = 'slipway-base';")).toBe('0');
});

test('a dump that fails or is empty is none; a whole one makes the same database', async () => {
  const before = await stored();
  await box.sql('create table zz as select 1; checkpoint;');
  const file = await box.sql("select pg_relation_filepath('zz');");
  await box.says(`docker exec ${DATABASE} mv /var/lib/postgresql/data/${file} /tmp/zz`);
  await start('restart');
  const failed = await box.job('dump', 'postgres');
  expect({ code: failed.code, why: why(failed.records) }).toEqual({ code: 1, why: expect.stringContaining('pg_dump') });
  await box.says(`docker exec ${DATABASE} mv /tmp/zz /var/lib/postgresql/data/${file}`);
  await box.sql('drop table zz;');

  const program = await box.says(`docker exec ${DATABASE} sh -c 'readlink -f "$(command -v pg_dump)"'`);
  // Ends well and prints nothing, but for its version, which pg_dumpall asks for.
  const mute = '#!/bin/sh\n[ "$1" != -V ] || echo "pg_dump (PostgreSQL) $(postgres --version | cut -d" " -f3-)"';
  const asRoot = `docker exec --interactive --user 0 ${DATABASE}`;
  await box.says(
    `${asRoot} cp ${program} /tmp/pg_dump; printf '%s\n' '${mute}' | ${asRoot} tee ${program} > /dev/null`,
  );
  const empty = await box.job('dump', 'postgres');
  await box.says(`${asRoot} cp /tmp/pg_dump ${program}`);
  expect({ code: empty.code, why: why(empty.records) }).toEqual({
    code: 1,
    why: expect.stringContaining('no data read'),
  });
  expect(await stored()).toBe(before);

  for (const _time of [1, 2]) {
    const { code, records } = await box.job('dump', 'postgres');
    expect({ code, results: results(records) }).toEqual({ code: 0, results: ['done', 'done'] });
  }
  const hashes = await box.says(
    `docker exec ${DATABASE} createdb -U app again
     ${restic(OFFSITE, 'dump --tag kind=dump --path /postgres.app.dump latest /postgres.app.dump')} |
       docker exec -i ${DATABASE} pg_restore -U app -d again
     ${hashOf(DATABASE).replace('-U app app', '-U app again')}; ${hashOf(DATABASE)}
     docker exec ${DATABASE} dropdb -U app again
     ${restic(OFFSITE, 'dump --tag kind=dump --path /postgres.globals.sql latest /postgres.globals.sql')} | grep -c 'CREATE ROLE app'`,
  );
  const [restored, original, roles] = hashes.split('\n');
  expect(restored).toBe(original);
  expect(roles).toBe('1');
});

test('fifteen failed nights and a clock that jumps take nothing; the policy takes what it may, once', async () => {
  const before = await stored();
  await box.says(`docker stop ${DATABASE}; cp ${RECORDS} /root/records`);
  await box.inside(`for night in $(seq 15); do ${RUNNER} backup full shop postgres --now; done`, 600);
  await start();
  expect(results((await box.records()).slice(-15))).toEqual(Array(15).fill('error'));
  await box.says('apt-get update --quiet && apt-get install --yes --quiet faketime');
  for (const jump of ['+40d', '-40d']) {
    const { code, said } = await box.inside(`faketime -f ${jump} ${RUNNER} backup prune shop --now`);
    expect({ code, said }).toEqual({ code: 0, said: expect.stringContaining('until the clock has been steady') });
    await box.says(`cp /root/records ${RECORDS}`);
    expect(await stored()).toBe(before);
  }

  const fulls = async (repository: string) =>
    Number(await box.says(`${restic(repository, 'snapshots --tag kind=full --json')} | grep -o '"short_id"' | wc -l`));
  const had = await fulls(OFFSITE);
  const first = await box.job('prune');
  expect({ code: first.code, why: why(first.records) }).toEqual({ code: 0, why: '\n' });
  expect(await fulls(OFFSITE)).toBeLessThan(had);
  expect(await fulls(OFFSITE)).toBeGreaterThanOrEqual(2);
  await box.job('prune');
  const settled = await stored();
  const last = await box.job('prune');
  expect(last.code).toBe(0);
  expect(await stored()).toBe(settled);
  // What is left is whole.
  const { code, records } = await box.job('check');
  expect({ code, why: why(records) }).toEqual({ code: 0, why: '\n' });
});

test('each kind of object that is changed or gone is named', async () => {
  await box.sql('create table later as select generate_series(1, 1000) as one; select pg_switch_wal();');
  await box.sql(
    'insert into later select 1; select pg_switch_wal(); insert into later select 2; select pg_switch_wal();',
  );
  for (const _time of [1, 2]) await box.job('full', 'postgres');
  await box.says(`rm -rf /srv/good; cp -a /srv/offsite /srv/good`);
  const names = async (path: string) =>
    (await box.says(`cd /srv/offsite/vps; find ${path} -type f | sort`)).split('\n');
  const today = Math.floor(Date.now() / 86_400_000) % 30;
  /** Checks as on the day when the rotation comes to a part, counted from nought; says what it found offsite. */
  const checkOn = async (part: number): Promise<string> => {
    const { code, said } = await box.inside(
      `faketime -f +${(part - today + 30) % 30 || 30}d ${RUNNER} backup check shop --now`,
      300,
    );
    expect(code, said).toBe(1);
    return said;
  };
  const flip = (path: string) =>
    box.says(
      `perl -e 'open F,"+<",$ARGV[0]; binmode F; seek F,60,0; read F,$b,1; seek F,60,0; print F chr(ord($b)^1)' /srv/offsite/vps/${path}`,
    );
  const rotation = (object: string) =>
    createHash('sha256').update(object.replace('objects/', '')).digest().readUInt16BE(0) % 30;

  const log = (await names('objects/wal')).filter((name) => /\/[0-9A-F]{24}\.[0-9a-f]{16}\./.test(name));
  const notes = await names('objects/bases');
  const [segment = '', note = ''] = [log.at(-2), notes.at(-1)];
  await flip(segment);
  await flip(note);
  const changed = await checkOn(rotation(segment));
  for (const name of [segment, note]) expect(changed).toContain(`${name.replace('objects/', '')}: `);

  await box.says('rm -rf /srv/offsite; cp -a /srv/good /srv/offsite');
  const packs = await names('restic/data');
  const pack = packs.at(-1) ?? '';
  const id = (path: string) => path.slice(path.lastIndexOf('/') + 1);
  await flip(pack);
  const lost = notes[0] ?? '';
  const bare = id(notes.at(-1) ?? '').slice(0, 16);
  const found = `${restic(OFFSITE, `snapshots --json --tag base=${bare}`)} | grep -o '"id":"[0-9a-f]*"' | cut -d '"' -f 4`;
  const snapshot = `restic/snapshots/${await box.says(found)}`;
  await box.says(`cd /srv/offsite/vps; rm ${segment} ${lost} ${snapshot} ${packs[0]}`);
  const gone = await checkOn(Number.parseInt(id(pack).slice(0, 2), 16) % 30);
  expect(gone).toContain(id(pack).slice(0, 8));
  expect(gone).toContain(id(packs[0] ?? '').slice(0, 8));
  expect(gone).toContain(
    `missing between ${id(log.at(-3) ?? '').slice(0, 24)} and ${id(log.at(-1) ?? '').slice(0, 24)}`,
  );
  expect(gone).toContain(`the copy ${id(lost).slice(0, 16)} has no note`);
  expect(gone).toContain(`${bare} lacks its snapshot`);
  await box.says('rm -rf /srv/offsite; mv /srv/good /srv/offsite');
});
