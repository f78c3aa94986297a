import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { BackupRecord } from '#protocol/backup';
import { type BackedUp, backedUp, OFFSITE } from '#test/support/backed-up';
import { type Asked, ask } from '#test/support/release';

const never = '0 0 1 1 *';
const REGISTRY = 'registry.sandbox.test';
const SESAME = 'a "sesame" \\ $1 #';
const LOCAL = '/var/backups/slipway/shop';

let host: BackedUp;

beforeAll(async () => {
  host = await backedUp({
    name: 'data-copies',
    postgres: { backup: false },
    redis: true,
    secrets: { SESAME },
    accessories: {
      cache: {
        type: 'redis',
        image: `${REGISTRY}/redis:8`,
        aof: true,
        password: '${SESAME}',
        backup: { schedule: never },
      },
      sql: {
        image: `${REGISTRY}/mariadb:11`,
        environment: { MARIADB_ROOT_PASSWORD: '${SESAME}', MARIADB_DATABASE: 'shop' },
        volumes: ['sql:/var/lib/mysql'],
        healthcheck: { test: ['CMD', 'mariadb-admin', '--protocol=tcp', '--host=127.0.0.1', 'ping'] },
        backup: { type: 'mariadb', password: '${SESAME}', schedule: never },
      },
      files: {
        image: `${REGISTRY}/busybox:1`,
        command: ['sh', '-c', 'trap exit TERM; while :; do sleep 1; done'],
        volumes: ['files:/files', 'uploads:/uploads', '/media:/media'],
      },
    },
    backups: {
      volumes: {
        files: { schedule: never, containers: 'stop' },
        '/media': { schedule: never },
        uploads: { schedule: never, sqlite: ['databases/app.db'] },
      },
    },
  });
}, 600_000);

afterAll(() => host?.[Symbol.asyncDispose]());

function restoring(
  only: string,
  from: 'local' | 'offsite',
  to: string,
  into: 'scratch' | 'in-place' = 'scratch',
): Promise<Asked> {
  return ask(host.host, {
    ...{ verb: 'restore', app: 'shop', environment: 'prod', by: 'tests' },
    ...{ to, into, only, from, preview: false },
  });
}

/** Why the newest copy off the host cannot be restored; empty where it can. */
async function refused(only: string): Promise<string> {
  return (await restoring(only, 'offsite', 'latest')).error?.message ?? '';
}

/** Restores a source beside everything that runs; resolves with the folder. */
async function restored(only: string, from: 'local' | 'offsite' = 'offsite', to = 'latest'): Promise<string> {
  const { events, error } = await restoring(only, from, to);
  expect(error?.message).toBeUndefined();
  const done = events.find((event) => event.type === 'restore.done');
  return done?.type === 'restore.done' ? done.path : '';
}

/** Copies a source, which has to succeed in both repositories. */
async function copied(source: string): Promise<readonly BackupRecord[]> {
  const { said, records } = await host.job('copy', source);
  expect(said).not.toContain('failed');
  expect(records.map(({ repository, result }) => [repository, result])).toEqual([
    ['local', 'done'],
    ['offsite', 'done'],
  ]);
  return records;
}

function countsOf(record: BackupRecord | undefined): Readonly<Record<string, number>> {
  return (record?.details?.['counts'] ?? {}) as Record<string, number>;
}

/** How many snapshots of a source the local repository has, whatever came of them. */
const snapshots = async (source: string): Promise<number> =>
  JSON.parse(
    await host.says(
      `restic --no-cache --repo ${LOCAL}/vps/restic --password-file /etc/slipway/backups/shop.key snapshots --json --tag source=${source}`,
    ),
  ).length;

/** Copies a source that cannot be; nothing may be left of it. Resolves with the reasons. */
async function fails(source: string): Promise<string> {
  const before = await snapshots(source);
  const { code, records } = await host.job('copy', source);
  expect(code).not.toBe(0);
  expect(records.length).toBeGreaterThan(0);
  for (const { result } of records) expect(result).not.toBe('done');
  expect(await snapshots(source)).toBe(before);
  return records.map(({ why }) => why).join('\n');
}

/** Starts a script in the background of the host; disposed of, it ends and what it printed is told. */
async function meanwhile(script: string): Promise<AsyncDisposable> {
  const pid = await host.says(`setsid sh -c ${quote(script)} >/tmp/meanwhile.log 2>&1 & echo $!`);
  return {
    async [Symbol.asyncDispose]() {
      await host.says(`kill -- -${pid}; cat /tmp/meanwhile.log`);
    },
  };
}

const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
const volumePath = (name: string): string => `/var/lib/docker/volumes/shop-${name}/_data`;

/** Everything that tar knows of what is in a folder: contents, owners, modes, times, links, attributes. */
const fingerprint = (folder: string): Promise<string> =>
  host.says(`tar --create --numeric-owner --sort=name --xattrs --xattrs-include='*' --format=posix \
    --pax-option=delete=atime,delete=ctime -C ${folder} . | sha256sum`);

describe('Redis', () => {
  const auth = (container: string): string => (container === 'shop-cache' ? `-e REDISCLI_AUTH=${quote(SESAME)}` : '');
  const cli = (container: string, ...words: string[]): Promise<string> =>
    host.says(`docker exec ${auth(container)} ${container} redis-cli ${words.map(quote).join(' ')} 2>/dev/null`);
  const fill = (container: string, prefix: string, count: number): Promise<string> =>
    host.says(
      `seq 1 ${count} | sed 's/.*/SET ${prefix}:& "&"/' | docker exec -i ${auth(container)} ${container} redis-cli --pipe 2>&1`,
    );

  /** A server of the same image on restored data, told as the one in use is. */
  async function serving(folder: string, aof: boolean): Promise<{ name: string } & AsyncDisposable> {
    const name = 'look';
    await host.says(`docker run -d --name ${name} --network none --user 999:999 -v ${folder}:/data ${REGISTRY}/redis:8 \
      redis-server --appendonly ${aof ? 'yes' : 'no'}; until docker exec ${name} redis-cli ping | grep -q PONG; do sleep 0.1; done`);
    return {
      name,
      async [Symbol.asyncDispose]() {
        await host.says(`docker rm -f ${name}`);
      },
    };
  }

  /** All values, by the order of their keys. */
  const contents = (container: string): Promise<string> =>
    host.says(`docker exec ${auth(container)} ${container} sh -c \
      'redis-cli --scan | sort | sed "s/^/GET /" | redis-cli' 2>/dev/null | sha256sum`);

  test.each([
    ['redis', 'shop-redis', false],
    ['cache', 'shop-cache', true],
  ])('%s comes back with every key, by the file that the server reads', async (source, container, aof) => {
    await fill(container, 'k', 20_000);
    const [local] = await copied(source);
    expect(local?.details).toMatchObject({ counts: { keys: 20_000 } });
    const folder = await restored(source);
    await using there = await serving(folder, aof);
    expect(await cli(there.name, 'DBSIZE')).toBe('20000');
    expect(await cli(there.name, 'GET', 'k:19999')).toBe('19999');
    expect(await contents(there.name)).toBe(await contents(container));
    // The files are the server's own, and nobody else's.
    expect(await host.says(`stat -c '%u %g %a' ${folder}`)).toBe('999 999 700');
    expect(await host.says(`find ${folder} ! -uid 999`)).toBe('');
    // Nothing was changed on the server, and nothing left behind.
    expect(await host.says(`ls -A /srv/shop/${source}`)).not.toContain('slipway');
  });

  test('is copied as it is at one moment, while it is written to', async () => {
    await using _writer = await meanwhile(
      'i=0; while :; do i=$((i+1)); echo "MULTI"; echo "SET a:$i $i"; echo "SET b:$i $i"; echo "EXEC"; done | docker exec -i shop-redis redis-cli',
    );
    await copied('redis');
    const folder = await restored('redis');
    await using there = await serving(folder, false);
    const count = (prefix: string): Promise<string> =>
      host.says(`docker exec ${there.name} redis-cli --scan --pattern '${prefix}:*' | wc -l`);
    expect(Number(await count('a'))).toBeGreaterThan(0);
    expect(await count('a')).toBe(await count('b'));
  });

  test('that cannot save leaves no copy, and says why', async () => {
    await host.says('chown 0:0 /srv/shop/redis');
    expect(await fails('redis')).toContain('could not save');
    await host.says('chown 999:999 /srv/shop/redis');
    await copied('redis');
  });

  test('that does not let us in leaves no copy', async () => {
    await cli('shop-cache', 'CONFIG', 'SET', 'requirepass', 'other');
    expect(await fails('cache')).toMatch(/NOAUTH|WRONGPASS/);
    await host.says(`docker exec -e REDISCLI_AUTH=other shop-cache redis-cli CONFIG SET requirepass ${quote(SESAME)}`);
  });
});

describe('MariaDB', () => {
  const mariadb = (statements: string, container = 'shop-sql'): Promise<string> =>
    host.says(
      `docker exec -i -e MYSQL_PWD=${quote(SESAME)} ${container} mariadb -uroot -N shop <<'END'\n${statements}\nEND`,
    );
  /** All databases as a dump, without statistics and the moments at which routines and events were created. */
  const dump = (container: string): Promise<string> =>
    host.says(`docker exec -e MYSQL_PWD=${quote(SESAME)} ${container} mariadb-dump -uroot --all-databases --routines --events \
      --triggers --order-by-primary --skip-dump-date --hex-blob --ignore-table=mysql.innodb_table_stats \
      --ignore-table=mysql.innodb_index_stats --ignore-table=mysql.transaction_registry \
      --ignore-table=mysql.proc --ignore-table=mysql.event > /tmp/dump-${container}.sql
      grep -c . /tmp/dump-${container}.sql; sha256sum < /tmp/dump-${container}.sql`);

  beforeAll(async () => {
    await mariadb(`
      CREATE TABLE users (id INT PRIMARY KEY AUTO_INCREMENT, name TEXT, picture BLOB);
      INSERT INTO users (name, picture) SELECT CONCAT('it''s (', seq, '), \\\\ "'), UNHEX(MD5(seq)) FROM seq_1_to_5000;
      CREATE TABLE a (id INT PRIMARY KEY AUTO_INCREMENT) ENGINE=InnoDB;
      CREATE TABLE b (id INT PRIMARY KEY AUTO_INCREMENT) ENGINE=InnoDB;
      CREATE TABLE old (id INT) ENGINE=MyISAM;
      CREATE VIEW names AS SELECT name FROM users;
      CREATE FUNCTION twice(n INT) RETURNS INT DETERMINISTIC RETURN 2 * n;
      CREATE TRIGGER log BEFORE INSERT ON a FOR EACH ROW SET @last = 1;
      CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY DO DELETE FROM old;
      CREATE USER guest@'%' IDENTIFIED BY 'guest'; GRANT SELECT ON shop.* TO guest@'%';`);
  });

  test('comes back equal, rows, routines, triggers, events and users, and says what has no transactions', async () => {
    const [local] = await copied('sql');
    expect(local?.details).toMatchObject({
      counts: { 'shop.users': 5000, 'shop.a': 0, 'shop.b': 0, 'shop.old': 0 },
      reservations: [expect.stringContaining('shop.old is written without transactions')],
    });
    const before = await dump('shop-sql');
    const folder = await restored('sql');
    await host.says(`docker run -d --name look --network none -v ${folder}:/var/lib/mysql ${REGISTRY}/mariadb:11 --skip-log-bin
      until docker exec look mariadb-admin ping 2>/dev/null; do sleep 0.2; done`);
    expect(
      await dump('look'),
      await host.says('diff /tmp/dump-shop-sql.sql /tmp/dump-look.sql | head -40 || true'),
    ).toBe(before);
    expect(
      await host.says('docker exec -e MYSQL_PWD=guest look mariadb -uguest -N shop -e "SELECT COUNT(*) FROM names"'),
    ).toBe('5000');
    await host.says('docker rm -f look');
  });

  test('is copied as it is at one moment, while it is written to', async () => {
    await using _writer = await meanwhile(
      `while :; do echo 'BEGIN; INSERT INTO a VALUES (); INSERT INTO b VALUES (); COMMIT;'; done | docker exec -i -e MYSQL_PWD=${quote(SESAME)} shop-sql mariadb -uroot shop`,
    );
    const [local] = await copied('sql');
    const counts = countsOf(local);
    expect(counts['shop.a']).toBeGreaterThan(0);
    expect(counts['shop.a']).toBe(counts['shop.b']);
  });

  test('whose dump is killed leaves no copy', async () => {
    await using _lock = await meanwhile(
      `(echo 'LOCK TABLES users WRITE; SELECT SLEEP(15);') | docker exec -i -e MYSQL_PWD=${quote(SESAME)} shop-sql mariadb -uroot shop`,
    );
    await using _killer = await meanwhile(
      'while :; do for pid in $(docker top shop-sql -o pid,comm | awk "/mariadb-dump/ {print \\$1}"); do sleep 2; kill -9 $pid; done; sleep 0.2; done',
    );
    expect(await fails('sql')).toMatch(/sql failed/);
  });
});

describe('files', () => {
  test('come back as they were: owners, modes, times, links, holes, attributes, and names of any kind', async () => {
    await host.says(`cd /media && mkdir -p 'a b' empty deep/er && echo one > 'a b/-n [x]*?' && printf two > "$(printf 'line\nbreak')"
      echo secret > owned && chown 1234:4321 owned && chmod 0640 owned && chmod u+s owned
      ln 'a b/-n [x]*?' hard && ln -s ../nowhere dangling && ln -s owned link && mkfifo pipe
      truncate -s 50M sparse && printf end >> sparse && head -c 3000000 /dev/urandom > random
      cp /bin/true capable && setcap cap_net_raw+ep capable
      touch -d '2001-02-03 04:05:06.789' owned deep && chmod 1777 /media && chown 12:34 /media`);
    await copied('media');
    const folder = await restored('media');
    expect(await fingerprint(folder)).toBe(await fingerprint('/media'));
    expect(await host.says(`stat -c '%u %g %a' ${folder}`)).toBe('12 34 1777');
    expect(Number(await host.says(`du -k ${folder}/sparse | cut -f1`))).toBeLessThan(1000);
    expect(await host.says(`stat -c %h ${folder}/hard`)).toBe('2');
  });

  test('that cannot be read are named, and the copy does not count', async () => {
    await host.says('touch /media/unreadable && mount --bind /proc/1/mem /media/unreadable');
    expect(await fails('media')).toContain('/media/unreadable');
    await host.says('umount /media/unreadable && rm /media/unreadable');
    await copied('media');
  });

  test('of which a moment is asked are those of the copy before it', async () => {
    const now = new Date().toISOString();
    await host.says('echo new > /media/new');
    await copied('media');
    expect(await host.says(`ls ${await restored('media', 'local', now)}`)).not.toContain('new');
    expect(await host.says(`ls ${await restored('media')}`)).toContain('new');
  });

  test('that a running database writes are refused', async () => {
    await host.says(`mkdir ${volumePath('uploads')}/global; touch ${volumePath('uploads')}/global/pg_control`);
    expect(await fails('uploads')).toContain('PostgreSQL');
    await host.says(`rm -r ${volumePath('uploads')}/global`);
  });
});

describe('SQLite', () => {
  const folder = volumePath('uploads');
  const WRITER = `
    const { DatabaseSync } = require('node:sqlite');
    const db = new DatabaseSync('${folder}/databases/app.db');
    db.exec('PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE IF NOT EXISTS a (t TEXT); CREATE TABLE IF NOT EXISTS b (t TEXT)');
    const write = () => { db.exec("BEGIN; INSERT INTO a VALUES (hex(randomblob(200))); INSERT INTO b VALUES ('x'); COMMIT"); };
    setInterval(() => { for (let i = 0; i < 50; i++) write(); }, 5);`;

  test('is copied by itself while it is written to, and put in its place', async () => {
    await host.says(
      `mkdir -p ${folder}/databases; echo beside > ${folder}/databases/app.db.txt; echo ${quote(WRITER)} > /tmp/writer.cjs`,
    );
    await using _writer = await meanwhile('/opt/slipway/current/node /tmp/writer.cjs');
    await host.says(
      `until [ -s ${folder}/databases/app.db-wal ]; do sleep 0.1; done; chown 33:33 ${folder}/databases/app.db; sleep 1`,
    );
    const [local] = await copied('uploads');
    const counts = countsOf(local);
    expect(counts['databases/app.db: a']).toBeGreaterThan(0);
    expect(counts['databases/app.db: a']).toBe(counts['databases/app.db: b']);
    const place = await restored('uploads');
    // The log of a live database would be taken for the copy's own.
    expect(await host.says(`ls ${place}/databases`)).toBe('app.db\napp.db.txt');
    expect(await host.says(`stat -c '%u %g' ${place}/databases/app.db`)).toBe('33 33');
    const ask = `const db = new (require('node:sqlite').DatabaseSync)('${place}/databases/app.db');
      console.log(db.prepare('PRAGMA integrity_check').get().integrity_check, db.prepare('SELECT count(*) AS n FROM a').get().n)`;
    expect(await host.says(`/opt/slipway/current/node --no-warnings -e ${quote(ask)}`)).toBe(
      `ok ${counts['databases/app.db: a']}`,
    );
  });

  test('that is damaged is not copied', async () => {
    const checkpoint = `new (require('node:sqlite').DatabaseSync)('${folder}/databases/app.db').exec('PRAGMA wal_checkpoint(TRUNCATE)')`;
    await host.says(`cd ${folder}/databases; /opt/slipway/current/node --no-warnings -e ${quote(checkpoint)}; cp app.db good
      dd if=/dev/urandom of=app.db bs=4096 seek=2 count=5 conv=notrunc 2>/dev/null`);
    expect(await fails('uploads')).toMatch(/app\.db cannot be copied: it is damaged/);
    await host.says(`cd ${folder}/databases; mv good app.db`);
    await copied('uploads');
  });
});

describe('containers that stand still', () => {
  const isUp = (): Promise<string> => host.says("docker inspect -f '{{.State.Running}} {{.State.Paused}}' shop-files");

  test('go on when the copy is made', async () => {
    const since = await host.says("docker inspect -f '{{.State.StartedAt}}' shop-files");
    await copied('files');
    expect(await isUp()).toBe('true false');
    expect(await host.says("docker inspect -f '{{.State.StartedAt}}' shop-files")).not.toBe(since);
  });

  test('go on within the minute when everything was killed', async () => {
    await host.says(`head -c 60000000 /dev/urandom > ${volumePath('files')}/large`);
    await host.says(`setsid /opt/slipway/current/slipway-host backup copy shop files --now > /dev/null 2>&1 < /dev/null &
      until pgrep -x restic > /dev/null && [ "$(docker inspect -f '{{.State.Running}}' shop-files)" = false ]; do sleep 0.05; done
      kill -9 $(pgrep -f '[s]lipway-host.mjs backup copy shop files') $(pgrep -x restic)`);
    expect(await isUp()).toBe('false false');
    expect((await host.job('watch')).records.map(({ details }) => details)).toContainEqual({ resumed: ['shop-files'] });
    expect(await isUp()).toBe('true false');
    expect((await host.job('watch')).records.filter(({ details }) => details !== undefined)).toEqual([]);
    await copied('files');
  });

  test('are left alone while the copy is at work', async () => {
    await host.says(`echo '{"how":"stop","containers":[]}' > /var/lib/slipway/backup/shop/standing-still.json
      setsid flock /var/lib/slipway/backup/shop/standing-still.lock sleep 30 > /dev/null 2>&1 < /dev/null & sleep 1`);
    await host.job('watch');
    expect(await host.says('ls /var/lib/slipway/backup/shop/standing-still.json')).toContain('standing-still');
    await host.says(
      "kill $(pgrep -x -f 'sleep 30') 2>/dev/null; rm -f /var/lib/slipway/backup/shop/standing-still.json",
    );
  });
});

describe('repositories', () => {
  test('that are down delay nobody but themselves, and catch up', async () => {
    await host.says(`mv ${OFFSITE} ${OFFSITE}.away`);
    const { code, records } = await host.job('copy', 'media');
    expect(code).toBe(1);
    expect(records.map(({ repository, result }) => [repository, result])).toEqual([
      ['local', 'done'],
      ['offsite', 'failed'],
    ]);
    await host.says(`rm -rf ${OFFSITE}; mv ${OFFSITE}.away ${OFFSITE}`);
    const [, offsite] = await copied('media');
    expect(offsite?.details).toMatchObject({ copied: 2 });
    await host.says(`mv ${LOCAL} ${LOCAL}.away`);
    const alone = (await host.job('copy', 'media')).records;
    expect(alone.map(({ repository, result }) => [repository, result])).toEqual([
      ['local', 'failed'],
      ['offsite', 'done'],
    ]);
    await host.says(`rm -rf ${LOCAL}; mv ${LOCAL}.away ${LOCAL}`);
  });

  test('pass a drill of everything', async () => {
    const { said, records } = await host.job('drill');
    expect(
      records.map(({ source, result }) => [source, result]),
      said,
    ).toEqual(['redis', 'cache', 'sql', 'files', 'media', 'uploads'].map((source) => [source, 'done']));
  });

  test('give back each in its place', async () => {
    const redis = (words: string): Promise<string> =>
      host.says(`docker exec -e REDISCLI_AUTH=${quote(SESAME)} shop-cache redis-cli ${words}`);
    const sql = (words: string): Promise<string> =>
      host.says(`docker exec -e MYSQL_PWD=${quote(SESAME)} shop-sql mariadb -uroot -N shop -e ${quote(words)}`);
    const file = `${volumePath('uploads')}/place`;
    await sql('CREATE TABLE place (name TEXT)');
    for (const when of ['before', 'after']) {
      await redis(`SET place ${when}`);
      await sql(`DELETE FROM place; INSERT INTO place VALUES ('${when}')`);
      await host.says(`echo ${when} > ${file}`);
      if (when === 'before') for (const source of ['cache', 'sql', 'uploads']) await copied(source);
    }
    for (const source of ['cache', 'sql', 'uploads']) {
      expect((await restoring(source, 'offsite', 'latest', 'in-place')).error?.message).toBeUndefined();
    }
    expect(await redis('GET place')).toBe('before');
    expect(await sql('SELECT name FROM place')).toBe('before');
    expect(await host.says(`docker exec shop-files cat /uploads/place`)).toBe('before');
  });

  test('are looked through, with some files compared with their source', async () => {
    const { records } = await host.job('check');
    expect(records.filter(({ result }) => result !== 'done')).toEqual([]);
    // Bit rot: the same size and time, and other bytes.
    await host.says(
      'cd /media; find . -type f ! -name capable ! -name sparse ! -name random ! -name owned -exec touch -d 2020-01-01 {} +',
    );
    await copied('media');
    await host.says(
      'cd /media; find . -type f ! -name sparse ! -name owned -exec sh -c \'m=$(stat -c %y "$1"); printf X | dd of="$1" bs=1 conv=notrunc 2>/dev/null; touch -d "$m" "$1"\' _ {} \\;',
    );
    const rotten = (await host.job('check', 'media')).records;
    expect(rotten.map(({ result }) => result)).toContain('failed');
    expect(rotten.map(({ why }) => why).join()).toContain('/media/');
  });

  test('with a byte that was flipped name the copy that it is in', async () => {
    const pack = await host.says(
      `find ${OFFSITE}/vps/restic/data -type f -size +1M -printf '%s %p\n' | sort -n | tail -1 | cut -d' ' -f2`,
    );
    await host.says(`chmod u+w ${pack}; printf '\\377' | dd of=${pack} bs=1 seek=500000 conv=notrunc 2>/dev/null`);
    const faults: string[] = [];
    for (const only of ['files', 'media']) faults.push(await refused(only));
    expect(faults.join()).toMatch(/Snapshot [0-9a-f]+ in offsite cannot be restored/);
    expect(faults.join()).toMatch(/\/large|\/random/);
  });
});

test('no list of processes tells a password', async () => {
  await using _watcher = await meanwhile(
    'while :; do cat /proc/[0-9]*/cmdline 2>/dev/null | tr "\\0" " " | grep -a sesame; done',
  );
  await copied('cache');
  await copied('sql');
  expect(await host.says('grep -v grep /tmp/meanwhile.log || true')).toBe('');
});
