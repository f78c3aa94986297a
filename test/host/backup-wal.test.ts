import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { gapsIn, parseWalName, plainName } from '#backup/postgres/archive';
import { beginOf, type Generation } from '#backup/postgres/generation';
import { type BackedUp, backedUp, DATABASE, OFFSITE } from '#test/support/backed-up';

const RECEIVER = `${DATABASE}-receiver`;
const SOURCE = '/var/lib/slipway/backup/shop/sources/postgres';
const KEY = '/etc/slipway/backups/shop.key';
const IMAGE = 'registry.sandbox.test/postgres:17';
const STORAGE = '/srv/restored';

let it: BackedUp;

const receiving = async (): Promise<string> =>
  it.sql("select state from pg_stat_replication where application_name = 'slipway'").catch(() => 'no answer');

async function until(what: string, holds: () => Promise<boolean>, seconds = 60): Promise<void> {
  for (const end = Date.now() + seconds * 1000; Date.now() < end; await sleep(300)) if (await holds()) return;
  throw new Error(`${what}: not within ${seconds} s`);
}

/** Whether the server holds nothing back any more: what the receiver has, it alone has. */
const caughtUp = () =>
  until('everything is received', async () => {
    const said = await it.sql('select bool_and(write_lsn >= pg_current_wal_flush_lsn()) from pg_stat_replication');
    return said === 't';
  });

const isReceived = () => until('the log is received', async () => (await receiving()) === 'streaming');

async function generations(): Promise<readonly Generation[]> {
  return JSON.parse(await it.says(`cat ${SOURCE}/generations.json`)) as readonly Generation[];
}

async function present(): Promise<{ readonly archive: string; readonly objects: string; readonly name: string }> {
  const { systemId, generation } = (await generations()).at(-1) as Generation;
  const name = `${systemId}/${generation}`;
  return { name, archive: `${SOURCE}/wal/${name}`, objects: `${OFFSITE}/vps/objects/wal/postgres/${name}` };
}

/** The closed segments in a folder, sealed or not. */
async function segments(folder: string): Promise<readonly string[]> {
  const names = (await it.says(`ls ${folder} 2>/dev/null || true`)).split('\n').map(plainName);
  return names.filter((name) => parseWalName(name)?.kind === 'segment');
}

/** The looks of a minute: none but this one is there, and what it found is not worth failing for. */
async function watch(): Promise<string> {
  return (await it.job('watch')).said;
}

/** Inserts row by row, each committed by itself, until it is ended; every id that was acknowledged is written down. */
async function load(): Promise<void> {
  const insert = 'insert into rows (filler) values (repeat(md5(random()::text), 8)) returning id;';
  await it.says(
    `setsid sh -c 'echo $$ > /srv/load.pid; yes "${insert}" | docker exec -i ${DATABASE} psql -qAtX -U app -d app > /srv/acked 2>/dev/null' > /dev/null 2>&1 < /dev/null &`,
  );
}

async function endLoad(): Promise<void> {
  await it.inside('kill -9 -- -$(cat /srv/load.pid); rm -f /srv/load.pid');
  // What read for the client inside of the container goes on without it.
  const others = "pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()";
  await it.sql(`select pg_terminate_backend(pid, 5000) from ${others}`);
  await until('the load ends', async () => (await it.sql(`select count(*) from ${others}`)) === '0');
}

/** Bulk that makes so many segments of log. */
const write = (megabytes: number) =>
  it.sql(`insert into rows (filler) select repeat(md5(i::text), 30) from generate_series(1, ${megabytes * 900}) i`);

/** A copy of the files by PostgreSQL's own tool, to replay the log on. */
const base = () => it.says(`docker exec ${DATABASE} pg_basebackup -U app -D - -Ft -X none -c fast > /srv/base.tar`);

/** Puts the log that there is into a folder as PostgreSQL names it, with nothing of ours. */
async function collect(from: 'host' | 'offsite'): Promise<void> {
  const { archive, objects } = await present();
  const open = `age -d -i ${KEY} "$f" | zstd -dq`;
  const script = {
    host: `cp ${archive}/* ${STORAGE}/wal/; cd ${STORAGE}/wal; for f in *.partial; do [ ! -e "$f" ] || mv "$f" "\${f%.partial}"; done`,
    offsite: `cd ${objects}; for f in *; do p="\${f%.*.zst.age}"; case $p in
      *.partial-*) s="\${p%.partial-*}"; [ -n "$(find . -name "$s.[0-9a-f]*.age" ! -name '*partial*')" ] || ${open} > ${STORAGE}/wal/"$s";;
      *) ${open} > ${STORAGE}/wal/"$p";; esac; done`,
  }[from];
  await it.says(`rm -rf ${STORAGE}; mkdir -p ${STORAGE}/data ${STORAGE}/wal\n${script}`);
}

/** What SQL answers on the last base, with all log replayed on it that there is. */
async function restored(from: 'host' | 'offsite', sql: string): Promise<string> {
  await collect(from);
  return it.says(`
    tar -xf /srv/base.tar -C ${STORAGE}/data
    touch ${STORAGE}/data/recovery.signal
    printf "restore_command = 'cp /wal/%%f %%p'\\nsynchronous_standby_names = ''\\n" >> ${STORAGE}/data/postgresql.auto.conf
    chown -R 999:999 ${STORAGE}; chmod 700 ${STORAGE}/data
    docker rm -f restored > /dev/null 2>&1
    docker run -d --name restored --network none --user 999:999 -v ${STORAGE}/data:/var/lib/postgresql/data -v ${STORAGE}/wal:/wal ${IMAGE} > /dev/null
    for i in $(seq 300); do
      [ "$(docker exec restored psql -U app -d app -Atc 'select pg_is_in_recovery()' 2>/dev/null)" = f ] && break; sleep 0.2
    done
    docker exec restored psql -U app -d app -AtX -c "${sql}"
    docker rm -f restored > /dev/null`);
}

/**
 * Ends the server, the receiver and every process of theirs at one moment, as a power cut does, and takes the data away.
 * Resolves with the last row that was acknowledged before.
 */
async function destroy(): Promise<number> {
  const pids = (name: string) => `$(docker top ${name} -eo pid | tail -n +2)`;
  await it.says(
    `docker update --restart no ${DATABASE} ${RECEIVER} > /dev/null
    kill -9 ${pids(DATABASE)} ${pids(RECEIVER)}
    kill -9 -- -$(cat /srv/load.pid); rm -rf /srv/load.pid /srv/shop/postgres/*`,
  );
  return Number((await it.says('tail -n 2 /srv/acked')).split('\n').find((line) => /^\d+$/.test(line)));
}

/** A server with a new cluster in the place of the one that was destroyed, and its log received. */
async function rebuild(): Promise<void> {
  await it.says(`docker update --restart unless-stopped ${DATABASE} > /dev/null; docker start ${DATABASE}`);
  await until(
    'a server',
    async () => (await it.inside(`docker exec ${DATABASE} psql -h 127.0.0.1 -U app -d app -c ''`)).code === 0,
  );
  await it.sql(TABLE);
  await watch();
  await isReceived();
}

const TABLE = 'create table rows (id bigserial primary key, at timestamptz default clock_timestamp(), filler text)';

beforeAll(async () => {
  it = await backedUp({ name: 'wal-a' });
  await it.sql(TABLE);
}, 900_000);

afterAll(() => it?.[Symbol.asyncDispose](), 120_000);

test('killed twenty times under load, the receiver loses nothing', async () => {
  await base();
  await load();
  for (let kill = 0; kill < 20; kill += 1) {
    await until('a receiver', async () => (await it.says(`pgrep -x pg_receivewal || true`)) !== '', 20);
    // Now the receiver alone, now all of its container, which Docker starts again.
    const victim = kill % 5 > 0 ? '$(pgrep -x pg_receivewal)' : `$(docker inspect -f '{{.State.Pid}}' ${RECEIVER})`;
    await it.inside(`kill -9 ${victim}`);
    if (kill % 5 === 0) await write(6);
    await sleep(200);
  }
  await endLoad();
  await caughtUp();
  await watch();
  const { archive, objects } = await present();
  const [closed, shipped] = [await segments(archive), await segments(objects)];
  expect(shipped.length).toBeGreaterThan(1);
  expect(gapsIn(shipped, 2 ** 24)).toEqual([]);
  // Where the disk has little space left, what is shipped does not stay on it.
  expect(shipped.slice(-closed.length)).toEqual(closed);
  expect(await generations()).toHaveLength(1);
  const there = await it.sql('select count(*), max(id) from rows');
  expect(Number(there.split('|')[0])).toBeGreaterThan(1000);
  expect(await restored('offsite', 'select count(*), max(id) from rows')).toBe(there);
}, 300_000);

test('a repository that is down delays only itself, and gets everything once it is back', async () => {
  await it.says(`mv ${OFFSITE} ${OFFSITE}.away; touch ${OFFSITE}`);
  await write(20);
  const { objects, name } = await present();
  const down = await watch();
  expect(down).toMatch(/offsite: failed/);
  const local = `/var/backups/slipway/shop/vps/objects/wal/postgres/${name}`;
  const there = await segments(local);
  await it.says(`rm ${OFFSITE}; mv ${OFFSITE}.away ${OFFSITE}`);
  expect((await segments(objects)).length).toBeLessThan(there.length);
  await watch();
  expect(await segments(objects)).toEqual(expect.arrayContaining([...there]));
  expect(gapsIn(await segments(objects), 2 ** 24)).toEqual([]);
}, 120_000);

test('a receiver that Docker leaves alone, and a database made anew or started again, are followed', async () => {
  await it.says(`docker stop ${RECEIVER}`);
  expect(await receiving()).toBe('');
  await watch();
  expect(await receiving()).toBe('streaming');
  await it.says(`docker restart ${DATABASE}`);
  await until('a server', async () => (await it.inside(`docker exec ${DATABASE} psql -U app -d app -c ''`)).code === 0);
  await watch();
  expect(await receiving()).toBe('streaming');
  const made = await it.says(`docker inspect -f '{{.Id}}' ${DATABASE}`);
  const folder = await it.says(
    `docker inspect -f '{{index .Config.Labels "com.docker.compose.project.working_dir"}}' ${DATABASE}`,
  );
  await it.says(`cd ${folder} && docker compose up --detach --force-recreate --wait 2>&1`);
  expect(await it.says(`docker inspect -f '{{.Id}}' ${DATABASE}`)).not.toBe(made);
  await watch();
  expect(await receiving()).toBe('streaming');
  expect(await generations()).toHaveLength(1);
}, 180_000);

test('a receiver that the server refuses is an alarm with its words, and comes back by itself', async () => {
  const hba = `docker exec ${DATABASE} sed -i`;
  const reload = `docker exec ${DATABASE} psql -qX -U app -d app -c 'select pg_reload_conf()'`;
  await it.says(
    `${hba} '1i host replication all 127.0.0.1/32 reject' /var/lib/postgresql/data/pg_hba.conf && ${reload}`,
  );
  await it.inside('kill -9 $(pgrep -x pg_receivewal)');
  const said = await watch();
  expect(said).toMatch(/alarm: The write-ahead log is not received.*pg_hba\.conf rejects/);
  await it.sql("insert into rows (filler) values ('while it was refused')");
  await it.says(`${hba} 1d /var/lib/postgresql/data/pg_hba.conf && ${reload}`);
  expect(await watch()).not.toMatch(/^alarm: The write-ahead log/m);
  await isReceived();
}, 120_000);

test('a slot that somebody dropped comes back without a gap while the server still has the log', async () => {
  await it.says(`docker stop ${RECEIVER}`);
  await it.sql("select pg_drop_replication_slot('slipway')");
  await it.sql("insert into rows (filler) values ('after the slot')");
  await watch();
  expect(await receiving()).toBe('streaming');
  expect(await generations()).toHaveLength(1);
}, 120_000);

test('an emptied archive goes on where it was, unless something was in it alone', async () => {
  await watch();
  await it.inside(`rm -rf ${SOURCE}/wal`);
  await write(5);
  await watch();
  expect(await receiving()).toBe('streaming');
  expect(await generations()).toHaveLength(1);
  const { objects } = await present();
  await write(40);
  await caughtUp();
  await it.inside(`rm -rf ${SOURCE}/wal/*`);
  await watch();
  expect(await receiving()).toBe('streaming');
  expect(gapsIn(await segments(objects), 2 ** 24)).toEqual([]);
  expect((await generations()).map(({ gap }) => gap)).toEqual([undefined, expect.stringMatching(/was lost before/)]);
}, 120_000);

test('an archive that is an old copy is not gone on from', async () => {
  const { archive } = await present();
  await watch();
  await it.says(`docker stop ${RECEIVER}; cp -a ${archive} /srv/stale; docker start ${RECEIVER}`);
  await isReceived();
  await write(40);
  await watch();
  await it.sql('checkpoint');
  await write(40);
  await it.sql('checkpoint; checkpoint');
  await it.says(`docker stop ${RECEIVER}; rm -rf ${archive}; cp -a /srv/stale ${archive}`);
  await watch();
  expect(await receiving()).toBe('streaming');
  expect((await generations()).at(-1)?.gap).toMatch(/no longer had the log/);
  const { objects } = await present();
  expect(gapsIn(await segments(objects), 2 ** 24)).toEqual([]);
}, 120_000);

test('a lost slot is a gap: told, begun anew and copied whole at once, while the database serves', async () => {
  const before = (await generations()).length;
  await it.says(`docker stop ${RECEIVER}`);
  await it.sql("alter system set max_slot_wal_keep_size = '16MB'; select pg_reload_conf()");
  const status = () => it.sql('select wal_status from pg_replication_slots');
  for (let round = 0; round < 8 && (await status()) !== 'lost'; round += 1) {
    await write(30);
    await it.sql('checkpoint');
  }
  expect(await status()).toBe('lost');
  await it.sql('alter system reset max_slot_wal_keep_size; select pg_reload_conf()');
  const said = await watch();
  expect(said).toMatch(/has a gap: nobody received for so long/);
  expect(await receiving()).toBe('streaming');
  expect(await generations()).toHaveLength(before + 1);
  const gap = (await it.records()).find(({ why }) => why?.includes('nobody received for so long'));
  expect(gap).toMatchObject({ job: 'watch', result: 'failed', details: { source: 'postgres' } });
  const begun = beginOf((await generations()).at(-1) as Generation);
  const isCopied = async () =>
    (await it.records()).some(({ job, result, at }) => job === 'full' && result === 'done' && Date.parse(at) >= begun);
  for (let minute = 0; minute < 20 && !(await isCopied()); minute += 1) {
    await watch();
    await sleep(2000);
  }
  expect(await isCopied()).toBe(true);
  // A copy that is still at work ends a segment of the log where the next test does not expect it.
  await until(
    'it is over',
    async () => (await it.inside('systemctl is-active slipway-backup-shop-postgres-full')).code !== 0,
  );
  expect(await it.sql('show max_slot_wal_keep_size')).not.toBe('-1');
}, 240_000);

test('a disk that was full leaves no gap and stops no commit', async () => {
  const { archive, objects } = await present();
  const before = (await generations()).length;
  await watch();
  await it.says(`docker stop ${RECEIVER}; mount -t tmpfs -o size=40m tmpfs ${archive}; docker start ${RECEIVER}`);
  await isReceived();
  await write(60);
  await until('no space', async () =>
    (await it.says(`docker logs --tail 5 ${RECEIVER} 2>&1`)).includes('No space left'),
  );
  await it.sql("insert into rows (filler) values ('while the disk was full')");
  for (let minute = 0; minute < 8 && (await receiving()) !== 'streaming'; minute += 1) await watch();
  await until('everything is received', async () => {
    await watch();
    return (await it.sql('select pg_current_wal_flush_lsn() <= write_lsn from pg_stat_replication')) === 't';
  });
  expect(await generations()).toHaveLength(before);
  expect(gapsIn(await segments(objects), 2 ** 24)).toEqual([]);
  await it.says(`docker stop ${RECEIVER}; umount ${archive}`);
  await watch();
  expect(await receiving()).toBe('streaming');
}, 240_000);

test('everything killed at once and the data gone, the last second is lost on the host and the last minute elsewhere', async () => {
  await base();
  await load();
  await sleep(2000);
  await watch();
  await sleep(3000);
  const acked = await destroy();
  const [host = '', offsite = ''] = [
    await restored('host', 'select max(id), max(at) from rows'),
    await restored('offsite', 'select max(id), max(at) from rows'),
  ];
  console.log(`acknowledged ${acked}; restored on the host ${host}, offsite ${offsite}`);
  expect(acked).toBeGreaterThan(100);
  expect(Number(host.split('|')[0])).toBeGreaterThan(Number(offsite.split('|')[0]));
  const before = await present();
  await rebuild();
  // Another cluster under the same name: its log goes elsewhere.
  expect((await present()).name.split('/')[0]).not.toBe(before.name.split('/')[0]);
  expect((await generations()).at(-1)?.gap).toMatch(/another cluster/);
}, 300_000);

test('uninstalled, nothing of it is left on the server', async () => {
  await it.converge({ withoutBackups: true });
  expect(await it.sql('select count(*) from pg_replication_slots')).toBe('0');
  expect(await it.sql("select count(*) from pg_file_settings where sourcefile like '%auto.conf'")).toBe('0');
  // A full copy that was asked for before may be at work still: it ends by itself, and its container with it.
  const left = () => it.says(`docker ps --all --format '{{.Names}}'`);
  await until('only the database is left', async () => (await left()) === DATABASE);
  await it.sql("insert into rows (filler) values ('still serving')");
}, 120_000);

test('where commits wait for the receiver nothing is lost, and without it they do not wait for long', async () => {
  const never = '0 0 1 1 *';
  await it.converge({ postgres: { backup: { full: never, incremental: never, dump: never, synchronous: true } } });
  expect(await it.sql('select sync_state from pg_stat_replication')).toBe('sync');
  await it.says(`docker stop ${RECEIVER}`);
  const started = Date.now();
  const waiting = it.sql("insert into rows (filler) values ('while nobody received')");
  await sleep(2000);
  const looking = watch();
  await waiting;
  console.log(`a commit without a receiver waited ${Date.now() - started} ms, 2000 of them for the next look`);
  await until('commits wait again', async () => (await it.sql('show synchronous_standby_names')) === 'slipway');
  await base();
  await load();
  await sleep(4000);
  const acked = await destroy();
  expect(acked).toBeGreaterThan(50);
  expect(Number(await restored('host', 'select max(id) from rows'))).toBeGreaterThanOrEqual(acked);
  await looking;
}, 300_000);
