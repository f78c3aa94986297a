import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { BackupJob, BackupSettings } from '#protocol/backup';
import { internet, run } from '#sandbox/sandbox';
import { type BackedUp, backedUp, DATABASE, OFFSITE } from '#test/support/backed-up';
import { type FaultyFront, faultyFront } from '#test/support/faulty-front';
import { type Fault, type FaultyPrograms, faultyPrograms } from '#test/support/faulty-programs';
import { ask } from '#test/support/release';
import { alarmsOf, copiesOf, drillOf, leftoversOf, STATE, silence } from '#test/support/standing';

const NAME = 'faults';
const NEVER = '0 0 1 1 *';
const LOCAL = '/var/backups/slipway/shop';
const KEY = '/etc/slipway/backups/shop.key';
const RUNNER = '/opt/slipway/current/slipway-host';

/** What a drill of the database has to find in the copy, besides the rows that were counted. */
const ASSERTIONS = [
  `SELECT count(*) = 40 FROM "Odd ""Schema"."we'ird ""table; --"`,
  `SELECT count(*) = 3 AND bool_and(md5(lo_get(oid)) = md5(decode(repeat('c0ffee', oid::int - 70000), 'hex'))) FROM pg_largeobject_metadata`,
  'SELECT count(*) = 0 FROM scratchpad',
  `SELECT (encoding, datcollate) = (8, 'C') FROM pg_database WHERE datname = 'old "town'`,
  `SELECT count(*) > 0 FROM pg_stat_statements`,
  `SELECT string_agg(word, '' ORDER BY word) = 'aÄbz' FROM words`,
  'SELECT count(*) = 1000 FROM far',
];

let box: BackedUp;
let programs: FaultyPrograms;
let receiver: FaultyFront;

const alarmed = () => alarmsOf(box);

const alarms = async (): Promise<readonly string[]> => (await alarmed()).map(({ message }) => message);

const drill = () => drillOf(box);

/** A database that takes what is written, and has a segment of log to ship. */
const write = (): Promise<string> => box.sql('INSERT INTO goods SELECT 1; SELECT pg_switch_wal();');

beforeAll(async () => {
  // What listens beside the hosts needs their network.
  await internet();
  receiver = await faultyFront(`ping-${NAME}.sandbox.test`, { host: '127.0.0.1', port: 1 });
  receiver.mood = () => 200;
  box = await backedUp({
    name: NAME,
    accessories: {
      files: {
        image: 'registry.sandbox.test/busybox:1',
        command: ['sh', '-c', 'trap exit TERM; while :; do sleep 1; done'],
        volumes: ['files:/files'],
      },
    },
    backups: {
      ping: `${receiver.url}/uuid`,
      keep: '1d',
      atLeast: 2,
      volumes: { files: { schedule: NEVER, containers: 'pause' } },
    },
    drills: { assert: ASSERTIONS },
  });
  programs = await faultyPrograms(NAME, ['restic', 'docker', 'age', 'age-keygen', 'zstd', 'rm', 'systemctl']);
  // An inventory may not say so short a time.
  await silence(box, ['files-copy']);
  await box.says(`sed -i 's/"keep": 86400/"keep": 1/' /etc/slipway/backups/shop.json; grep -q '"keep": 1,' /etc/slipway/backups/shop.json
    head -c 40000000 /dev/urandom > /var/lib/docker/volumes/shop-files/_data/large`);
  await box.sql('CREATE TABLE goods AS SELECT g AS id, md5(g::text) AS name FROM generate_series(1, 2000) g;');
});

afterAll(async () => {
  await box?.[Symbol.asyncDispose]();
  await receiver?.[Symbol.asyncDispose]();
});

test('what a database has besides plain tables comes back, and what is not kept fails no drill', async () => {
  await box.sql(`ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements';`);
  await box.says(`docker exec ${DATABASE} mkdir --mode=0700 /var/tmp/elsewhere
    docker restart ${DATABASE}; until docker exec ${DATABASE} pg_isready -q -h 127.0.0.1; do sleep 0.2; done`);
  await box.sql(`CREATE EXTENSION pg_stat_statements;
    CREATE UNLOGGED TABLE scratchpad AS SELECT generate_series(1, 5000) AS one;
    CREATE SCHEMA "Odd ""Schema";
    CREATE TABLE "Odd ""Schema"."we'ird ""table; --" AS SELECT generate_series(1, 40) AS "a column";
    SELECT lo_from_bytea((70000 + n)::oid, decode(repeat('c0ffee', n), 'hex')) FROM generate_series(1, 3) n;
    CREATE TABLE words (word text COLLATE "de-x-icu");
    INSERT INTO words VALUES ('z'), ('Ä'), ('b'), ('a');
    CREATE INDEX ON words (word);
    CREATE TABLESPACE elsewhere LOCATION '/var/tmp/elsewhere';
    CREATE TABLE far TABLESPACE elsewhere AS SELECT generate_series(1, 1000) AS one;
    CREATE DATABASE "old ""town" TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C';`);
  await box.says(`printf '%s' 'CREATE TABLE "Straße" AS SELECT repeat(chr(233), 3) AS "é" FROM generate_series(1, 200)' |
    docker exec -i -e PGCLIENTENCODING=UTF8 ${DATABASE} psql -q -U app -d 'old "town'`);
  await box.job('watch');
  const { code, said } = await box.job('full', 'postgres');
  expect(code, said).toBe(0);
  const report = await drill();
  expect(report, report.why).toMatchObject({ verdict: 'passed' });
  const rows = report.checks.find(({ name }) => name === 'row counts');
  expect(rows?.found).toMatch(/as many as when it was taken/);
  await box.sql('ALTER TABLE far SET TABLESPACE pg_default;');
  await box.sql('DROP TABLESPACE elsewhere;');
});

describe('whatever program fails', () => {
  // Another draw each time; what failed names it.
  const seed = process.env['CI'] === undefined ? Date.now() % 2 ** 31 : 20_261_122;
  let state = seed;
  /** A number from 0 to below `most`. */
  const draw = (most: number): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fff_ffff;
    return Math.floor((state / 2 ** 31) * most);
  };

  /** Runs a job with programs that fail as they are armed. */
  async function attempt(job: BackupJob, source?: string) {
    const before = (await box.records()).length;
    const words = [job, 'shop', ...(source === undefined ? [] : [source]), '--now'];
    const ran = await box.inside(`${programs.prefix} ${RUNNER} backup ${words.join(' ')}`, 300);
    return { ...ran, records: (await box.records()).slice(before) };
  }

  test.each([
    ['full', 'postgres', 2],
    ['watch', undefined, 2],
    ['prune', undefined, 1],
  ] as const)('%s tells of it, keeps what there was, and makes up for it', async (job, source, times) => {
    await programs.arm();
    await write();
    expect((await attempt(job, source)).code).toBe(0);
    const total = (await programs.calls()).length;
    for (let time = 0; time < times; time += 1) {
      const how = (['refused', 'lost', 'killed'] as const)[draw(3)] ?? 'refused';
      const fault: Fault = { call: 1 + draw(total), how };
      if (job === 'prune') await box.job('full', 'postgres');
      await write();
      await programs.arm(fault);
      const since = new Date().toISOString();
      const { code, said, records } = await attempt(job, source);
      const called = (await programs.calls())[fault.call - 1];
      const about = `seed ${seed}: ${job}, ${how}: ${called}\n${said}`;
      const failed = records.filter(({ result }) => result !== 'done');
      if (code === 0) expect(failed, about).toEqual([]);
      // What the watch repeats is not written down twice.
      else if (job !== 'watch') expect(failed, about).not.toEqual([]);
      if (code !== 0 && job !== 'watch') expect((await alarms()).join('\n'), about).toMatch(/has failed since/);
      if (job !== 'full') continue;
      const copies = await copiesOf(box, 'postgres');
      for (const { repository, result } of records) {
        if (result !== 'done') continue;
        const whole = copies.filter((copy) => copy.repository === repository && copy.complete && copy.at >= since);
        expect(whole, about).toHaveLength(1);
      }
    }
    await programs.arm();
    await write();
    const clean = await attempt(job, source);
    expect(clean.code, `seed ${seed}: ${clean.said}`).toBe(0);
    await box.job('watch');
    expect(await alarms(), `seed ${seed}`).toEqual([]);
    expect(await leftoversOf(box), `seed ${seed}`).toBe('');
  });
});

test('a repository that is dead is one alarm, which names whom it concerns', async () => {
  await box.says(`mv ${OFFSITE} ${OFFSITE}.away`);
  try {
    for (const [job, source] of [
      ['full', 'postgres'],
      ['copy', 'files'],
      ['prune', undefined],
    ] as const) {
      expect((await box.job(job, source)).code).toBe(1);
    }
    await write();
    expect((await box.job('watch')).said).toContain('There is no repository in the offsite repository');
    const all = await alarmed();
    expect(all.map(({ repository }) => repository)).toEqual(['offsite']);
    expect(all[0]?.message).toMatch(/It concerns files, postgres\.\n/);
    for (const what of ['The job full of postgres', 'The job copy of files', 'does not answer']) {
      expect(all[0]?.message).toContain(what);
    }
  } finally {
    await box.says(`rm -rf ${OFFSITE}; mv ${OFFSITE}.away ${OFFSITE}`);
  }
  for (const [job, source] of [
    ['full', 'postgres'],
    ['copy', 'files'],
    ['prune', undefined],
  ] as const) {
    const { code, said } = await box.job(job, source);
    expect(code, said).toBe(0);
  }
  await box.job('watch');
  expect(await alarms()).toEqual([]);
});

describe('a ping over https', () => {
  const deaf = `rm -f ${STATE}/told.json`;

  test.each([
    ['answers', 200, undefined],
    ['is broken', 500, 'it answers 500'],
    ['never answers', 'silent', 'no answer'],
  ] as const)('whose receiver %s fails no job', async (_what, mood, why) => {
    await box.says(deaf);
    receiver.mood = () => mood;
    const before = receiver.requests.length;
    const { code, said } = await box.job('watch');
    receiver.mood = () => 200;
    expect(code, said).toBe(0);
    expect(receiver.requests.slice(before)).toEqual(['POST /uuid']);
    if (why === undefined) expect(said).not.toContain('receiver');
    else expect(said).toContain(`The ping does not reach its receiver: ${why}.`);
    // What is told once is told again when it is over.
    if (why !== undefined) {
      await box.says(`sed -i 's/"at": [0-9]*/"at": 0/' ${STATE}/told.json`);
      expect((await box.job('watch')).said).toContain('The ping reaches its receiver again.');
    }
  });

  test('whose certificate nobody here trusts fails no job, and is told nothing', async () => {
    const authorities = '/etc/ssl/certs/ca-certificates.crt';
    await box.says(`${deaf}; cp -L ${authorities} /root/authorities; : > ${authorities}`);
    const before = receiver.requests.length;
    const { code, said } = await box.job('watch');
    await box.says(`cp /root/authorities ${authorities}; ${deaf}`);
    expect(code, said).toBe(0);
    expect(said).toMatch(/The ping does not reach its receiver: .*certificate/);
    expect(receiver.requests.slice(before)).toEqual([]);
  });
});

describe('containers that pause', () => {
  const folder = '/var/lib/docker/volumes/shop-files/_data';
  const isUp = (): Promise<string> => box.says("docker inspect -f '{{.State.Running}} {{.State.Paused}}' shop-files");
  /** Begins a copy, and goes on once they stand still and it is read. */
  const begun = `setsid ${RUNNER} backup copy shop files --now > /root/copy.log 2>&1 < /dev/null & copy=$!
    for i in $(seq 600); do
      pgrep -x restic > /dev/null && [ "$(docker inspect -f '{{.State.Paused}}' shop-files)" = true ] && break; sleep 0.02
    done; docker inspect -f '{{.State.Paused}}' shop-files`;

  test('stand still while their files are read, and go on without having been stopped', async () => {
    const since = await box.says("docker inspect -f '{{.State.StartedAt}}' shop-files");
    await box.says(`head -c 60000000 /dev/urandom > ${folder}/large`);
    expect(await box.says(`${begun}; wait $copy; tail -n 1 /root/copy.log`)).toBe('true\ncopy files offsite: done');
    expect(await isUp()).toBe('true false');
    expect(await box.says("docker inspect -f '{{.State.StartedAt}}' shop-files")).toBe(since);
  });

  test('go on within the minute when everything was killed', async () => {
    await box.says(`head -c 60000000 /dev/urandom > ${folder}/large`);
    expect(
      await box.says(`${begun}; kill -9 $(pgrep -f '[s]lipway-host.mjs backup copy shop files') $(pgrep -x restic)`),
    ).toBe('true');
    expect(await isUp()).toBe('true true');
    const { records } = await box.job('watch');
    expect(records.map(({ details }) => details)).toContainEqual({ resumed: ['shop-files'] });
    expect(await isUp()).toBe('true false');
    expect((await box.job('copy', 'files')).code).toBe(0);
  });
});

test.each([
  ['index', 'index'],
  ['snapshot', 'snapshots'],
  ['key file', 'keys'],
  ['config', 'config'],
])('a flipped byte in the %s of a repository is named, and passes no drill', async (_what, place) => {
  await box.says(`rm -rf /root/whole; cp -a ${OFFSITE} /root/whole`);
  const files = (await box.says(`cd ${OFFSITE}/vps/restic; find ${place} -type f | sort`)).split('\n');
  try {
    await box.says(
      `cd ${OFFSITE}/vps/restic; for file in ${files.join(' ')}; do chmod u+w $file; perl -e 'open F,"+<",$ARGV[0]; binmode F;
         seek F,60,0; read F,$b,1; seek F,60,0; print F chr(ord($b)^1)' $file; done`,
    );
    const { verdict, why = '' } = await drill();
    expect(verdict, why).toBe('failed');
    const { code, said } = await box.job('check');
    expect(code, said).toBe(1);
    const names = place === 'config' ? ['config'] : files.map((file) => file.slice(place.length + 1).slice(0, 8));
    for (const name of names) expect(said).toContain(name);
    // Of several that are damaged a drill meets one. Without its snapshots a repository has no copies, and which those were
    // only the check says.
    if (place !== 'snapshots') expect(why).toMatch(new RegExp(names.join('|')));
  } finally {
    await box.says(`rm -rf ${OFFSITE}; mv /root/whole ${OFFSITE}; rm -rf /var/cache/slipway/restic`);
  }
});

describe('what the first version has stored', () => {
  const GOLDEN = '/srv/golden';
  const settings: BackupSettings = {
    ...{ app: 'golden', environment: 'prod', host: 'vps', keep: 86_400, atLeast: 3, drill: { assert: {} } },
    repositories: [{ name: 'offsite', url: GOLDEN, credentials: {} }],
    sources: [
      {
        ...{ type: 'postgres', name: 'postgres', container: DATABASE, image: 'postgres:17', storage: '/srv/pg' },
        ...{ database: 'app', user: 'app', full: NEVER, synchronous: false },
      },
      {
        ...{ type: 'volume', name: 'data', volume: '/srv/golden-data', sqlite: ['app.db'], containers: 'run' },
        schedule: NEVER,
      },
    ],
  };

  test('is read by this one: notes, log, files and databases', async () => {
    const archive = readFileSync(new URL('golden/backups.tar.gz', import.meta.url));
    const place = `mkdir ${GOLDEN} && tar --extract --gzip --directory=${GOLDEN} && mv ${GOLDEN}/key /etc/slipway/backups/golden.key`;
    await run(NAME, ['sh', '-c', place], { input: archive });
    await run(NAME, ['sh', '-c', 'cat > /etc/slipway/backups/golden.json'], { input: JSON.stringify(settings) });

    const { events: listed } = await ask(box.host, { verb: 'backup-list', app: 'golden' });
    const copies = listed.flatMap((event) => (event.type === 'backup.listed' ? event.copies : []));
    expect(copies.map(({ source, kind, at, complete }) => [source, kind, at, complete])).toEqual([
      // Its files would be too many to be kept here.
      ['postgres', 'full', expect.stringMatching(/^2026-11-22T00:49:/), false],
      ['data', 'copy', '2026-11-22T00:50:15.440Z', true],
    ]);
    const { events, error } = await ask(box.host, {
      ...{ verb: 'restore', app: 'golden', environment: 'prod', by: 'tests', to: 'latest', into: 'scratch' },
      ...{ only: 'data', from: 'offsite', preview: false },
    });
    expect(error?.message).toBeUndefined();
    const [path = ''] = events.flatMap((event) => (event.type === 'restore.done' ? [event.path] : []));
    expect(await box.says(`cd ${path}; find . -mindepth 1 ! -name app.db -printf '%P %U %G %m %y %s\\n' | sort`)).toBe(
      [
        'a b [x]*? 0 0 644 f 4',
        'deep 0 0 755 d 4096',
        'deep/er 0 0 755 d 4096',
        'deep/er/two 1234 4321 640 f 3',
        'deep/link 0 0 777 l 6',
        'empty 0 0 755 d 4096',
        'hard 0 0 644 f 4',
      ].join('\n'),
    );
    expect(await box.says(`cat ${path}/hard ${path}/deep/link; stat -c ' %y' ${path}/deep/er/two`)).toBe(
      'one\ntwo 2001-02-03 04:05:06.789000000 +0000',
    );
    const count = `console.log(new (require('node:sqlite').DatabaseSync)('${path}/app.db').prepare('SELECT count(*) n, max(name) m FROM goods').get())`;
    expect(await box.says(`/opt/slipway/current/node --no-warnings -e "${count}"`)).toContain("n: 100, m: 'g99'");
  });
});

describe('the key', () => {
  const request = (action: 'verify' | 'install', key: string) =>
    ask(box.host, { verb: 'backup-key', app: 'shop', environment: 'prod', by: 'tests', action, key });
  const stored = (): Promise<string> =>
    box.says(
      `cd ${OFFSITE}/vps; find . -type f | sort | sha256sum; cd ${LOCAL}/vps; find . -type f | sort | sha256sum`,
    );
  const anotherKey = (): Promise<string> => box.says('age-keygen 2> /dev/null | tail -n 1');

  test('in whose place another one was put seals nothing, and comes back with the copy of it', async () => {
    for (const job of ['check', 'watch'] as const) {
      const { code, said } = await box.job(job);
      expect(code, said).toBe(0);
    }
    expect((await drill()).verdict).toBe('passed');
    expect(await alarms()).toEqual([]);
    const right = await box.says(`cat ${KEY}`);
    await box.says(`age-keygen 2> /dev/null | tail -n 1 > ${KEY}`);
    await write();
    const before = await stored();
    for (const [job, source] of [
      ['watch', undefined],
      ['full', 'postgres'],
    ] as const) {
      const { code, said } = await box.job(job, source);
      expect(code, said).toBe(1);
      expect(said).toMatch(/does not open/);
    }
    expect((await alarms()).join('\n')).toMatch(/The job full of postgres.*does not open/s);
    expect(await stored()).toBe(before);
    expect((await request('verify', right)).error?.message).toMatch(/opens the backups.*is another one/);
    const refused = await request('install', await anotherKey());
    expect(refused.error?.message).toContain('does not open');
    expect((await request('install', right)).error?.message).toBeUndefined();
    expect(await box.says(`cat ${KEY}`)).toBe(right);

    await box.says(`mv ${KEY} /root/deleted.key`);
    const deleted = await box.job('full', 'postgres');
    expect(deleted.code).toBe(1);
    expect(deleted.said).toContain('not on this host');
    expect(await stored()).toBe(before);
    expect((await request('install', right)).error?.message).toBeUndefined();
    for (const [job, source] of [
      ['watch', undefined],
      ['full', 'postgres'],
    ] as const) {
      const { code, said } = await box.job(job, source);
      expect(code, said).toBe(0);
    }
    expect(await alarms()).toEqual([]);
  });

  test('is changed on purpose with new repositories, and what there was stays readable with the old one', async () => {
    const old = await box.says(`cat ${KEY}`);
    await box.says(`mv ${KEY} ${KEY}.old`);
    const places = { repository: `${OFFSITE}-2`, local: `${LOCAL}-2` };
    await box.converge({ backups: { ...places, volumes: { files: { schedule: NEVER, containers: 'pause' } } } });
    expect(await box.says(`cat ${KEY}`)).not.toBe(old);
    expect((await alarms()).join('\n')).toContain('Nobody has proven to have a copy of the key');
    await box.job('watch');
    const { code, said } = await box.job('full', 'postgres');
    expect(code, said).toBe(0);
    const newest = (await copiesOf(box, 'postgres')).map(({ repository, complete }) => [repository, complete]);
    expect(newest).toEqual([
      ['local', true],
      ['offsite', true],
    ]);
    expect(
      await box.says(
        `restic --no-cache --repo ${OFFSITE}/vps/restic --password-file ${KEY}.old snapshots --tag kind=full | grep -c postgres`,
      ),
    ).not.toBe('0');
  });
});
