import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Request } from '#protocol/plan';
import { hostTree } from '#sandbox/places';
import { down, run, up } from '#sandbox/sandbox';
import { type BackedUp, backedUp, DATABASE, inventoryOf, OFFSITE } from '#test/support/backed-up';
import { type Asked, ask, releaseRequest } from '#test/support/release';
import { onRestored, type RestoreOptions, restoreRequest, whatIsDone } from '#test/support/restored';
import { killRunners } from '#test/support/runners';

const NAME = 'restore-1';

let shop: BackedUp;

/** What was so at a moment: what restoring to it has to bring back. */
interface Mark {
  /** As a person would write it down. */
  readonly at: string;
  readonly rows: string;
  readonly lsn: string;
  readonly xid: string;
}

async function mark(words: string): Promise<Mark> {
  const answer = await shop.sql(
    `INSERT INTO notes (words) VALUES ('${words.replaceAll("'", "''")}') RETURNING pg_current_xact_id();`,
  );
  const [at = '', rows = '', lsn = ''] = (
    await shop.sql(
      `SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), count(*), pg_current_wal_insert_lsn() FROM notes;`,
    )
  ).split('|');
  return { at, rows, lsn, xid: answer };
}

async function ship(): Promise<void> {
  const { code, said } = await shop.job('watch');
  expect(code, said).toBe(0);
}

/**
 * Takes a full copy of what is received now. Whoever restores in place has the watch ask for one, which is begun some time
 * later, and may be at work: nobody else takes one meanwhile.
 */
async function takeFull(): Promise<void> {
  const taken = async () =>
    (await shop.job('full', 'postgres')).records.filter(({ result }) => result === 'done').length;
  await expect.poll(taken, { timeout: 120_000, interval: 500 }).toBe(2);
}

const inPlace = (to: string): Request => restoreRequest(to, { into: 'in-place' });

const restore = (to: string, options?: RestoreOptions): Promise<Asked> => ask(shop.host, restoreRequest(to, options));

const restored = (to: string, options?: RestoreOptions) => restore(to, options).then(whatIsDone);

const count = (to: string) => onRestored(shop, to, (psql) => `${psql} 'SELECT count(*) FROM notes'`);

/** What is left over of restorations, running or not. */
const leftovers = () =>
  shop.says(
    'docker ps --all --quiet --filter label=slipway.drill; ls /var/lib/slipway/backup/shop/scratch | grep -v sweep || true',
  );

beforeAll(async () => {
  shop = await backedUp({ name: NAME, demo: true });
  await shop.sql(
    'CREATE TABLE notes (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), at timestamptz DEFAULT clock_timestamp(), words text);',
  );
  await ship();
  const { code, said } = await shop.job('full', 'postgres');
  expect(code, said).toBe(0);
}, 600_000);

afterAll(async () => {
  await shop?.[Symbol.asyncDispose]();
});

// No sequences: replayed, they stand up to 32 numbers further on, as after a crash.
/** What the database holds, as its own tool writes it down, but for the lines that differ from run to run. */
const dumpOf = (container: string) =>
  `docker exec ${container} pg_dump -U app -d app | grep -v -e '^.restrict' -e '^.unrestrict' | sha256sum`;

/** When a transaction was committed, as the log itself tells, which is not the restoration's own reading. */
async function committedAt(xid: string): Promise<string> {
  const file = await shop.sql('SELECT pg_walfile_name(pg_current_wal_insert_lsn());');
  const waldump = `pg_waldump --path=/var/lib/postgresql/data/pg_wal --xid=${xid} --rmgr=Transaction ${file}`;
  const said = await shop.says(`docker exec --env TZ=UTC ${DATABASE} ${waldump} 2>/dev/null | grep COMMIT`);
  const [, date, time] = /COMMIT (\S+) (\S+) UTC/.exec(said) ?? [];
  return `${date}T${time}Z`;
}

async function refusal(to: string): Promise<string> {
  const { error } = await restore(to);
  expect(error?.code).toBe('restore-refused');
  return `${error?.message}\n${error?.hint}`;
}

test('every kind of target brings back exactly what was there', async () => {
  const one = await mark('one');
  const commit = await committedAt(one.xid);
  await sleep(5);
  const two = await mark('two');
  await shop.sql("SELECT pg_create_restore_point('before Anna''s import');");
  const three = await mark("three's");
  const dump = await shop.says(dumpOf(DATABASE));
  await ship();

  expect(await count(one.at)).toBe(one.rows);
  const before = Number(one.rows) - 1;
  // The very microsecond of a commit counts it in.
  expect(await count(commit)).toBe(one.rows);
  const micros = String(Number(commit.slice(20, 26)) - 1).padStart(6, '0');
  expect(await count(`${commit.slice(0, 20)}${micros}Z`)).toBe(String(before));
  const kolkata = `'YYYY-MM-DD"T"HH24:MI:SS.US'`;
  expect(
    await count(
      await shop.sql(`SELECT to_char('${two.at}'::timestamptz AT TIME ZONE 'Asia/Kolkata', ${kolkata}) || '+05:30';`),
    ),
  ).toBe(two.rows);
  expect(await count("before Anna's import")).toBe(two.rows);
  expect(await count(`lsn:${one.lsn}`)).toBe(one.rows);
  expect(await count(`xid:${two.xid}`)).toBe(two.rows);
  expect(
    await onRestored(shop, 'latest', (psql, container) => `${psql} 'SELECT count(*) FROM notes'; ${dumpOf(container)}`),
  ).toBe(`${three.rows}\n${dump}`);
  expect(await leftovers()).toBe('');
});

test('a moment after the last commit is what there was, and one that nothing is known of is refused', async () => {
  const rows = await shop.sql('SELECT count(*) FROM notes;');
  await sleep(1100);
  const quiet = await shop.sql(`SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"');`);
  await sleep(1100);
  await ship();
  expect(await count(quiet)).toBe(rows);

  expect(await refusal('2126-01-01T00:00:00Z')).toMatch(/after all that is kept[\s\S]*newest moment is 20/);
  expect(await refusal('2016-01-01T00:00:00Z')).toMatch(/before all that is kept[\s\S]*oldest moment is 20/);
  expect(await refusal('2026-01-01 12:00')).toContain('UTC');
  expect(await refusal('no such point')).toContain('nothing that is kept');
  expect(await refusal('lsn:FF/0')).toContain('There is: 0/');
  expect(await leftovers()).toBe('');
});

test('log that is missing, changed or damaged is named, and no server starts on it', async () => {
  await mark('before');
  await shop.sql('SELECT pg_switch_wal();');
  const kept = await mark('kept');
  await shop.sql('SELECT pg_switch_wal();');
  await mark('after');
  await ship();
  const objects = (
    await shop.says(`cd ${OFFSITE}/vps/objects && find wal -type f ! -name '*.partial-*' | sort | tail -2`)
  ).split('\n');
  const [victim = '', last = ''] = objects;
  expect(last).not.toBe('');
  const path = `${OFFSITE}/vps/objects/${victim}`;
  await shop.says(`mv ${path} /root/aside`);
  const missing = await restore('latest');
  expect(missing.error?.code).toBe('copy-broken');
  expect(missing.error?.message).toContain(victim.replace(/\.[0-9a-f]{16}\.zst\.age$/, ''));
  expect(missing.error?.hint).toContain('--to 20');

  await shop.says(`cp /root/aside ${path} && printf X | dd of=${path} bs=1 seek=4000 conv=notrunc status=none`);
  const changed = await restore('latest');
  expect(changed.error?.code).toBe('copy-broken');
  expect(changed.error?.message).toContain(victim);

  // Sealed as it is in order, and yet no log: what was damaged before it was sealed.
  const seal = `zstd -q -c /root/plain | age -r $(age-keygen -y /etc/slipway/backups/shop.key) > /root/sealed`;
  const plain = victim.slice(victim.lastIndexOf('/') + 1, -25);
  await shop.says(
    `age -d -i /etc/slipway/backups/shop.key /root/aside | zstd -q -d -c > /root/plain
     dd if=/dev/urandom of=/root/plain bs=1 seek=300 count=64 conv=notrunc status=none
     ${seal}; rm ${path}; mv /root/sealed ${path.slice(0, path.lastIndexOf('/'))}/${plain}.$(sha256sum /root/sealed | cut -c1-16).zst.age`,
  );
  const damaged = await restore('latest');
  expect(damaged.error?.code).toBe('copy-broken');
  expect(damaged.error?.message).toContain(plain);

  await shop.says(`rm ${path.slice(0, path.lastIndexOf('/'))}/${plain}.*; mv /root/aside ${path}`);
  expect(await count(kept.at)).toBe(kept.rows);
  expect(await leftovers()).toBe('');
});

describe('in place', () => {
  const rows = () => shop.sql('SELECT count(*) FROM notes;');
  const settled = async () => {
    expect(await shop.says('ls /var/lib/slipway/backup/shop/swap.json 2>/dev/null || true')).toBe('');
    expect(await shop.says('ls /var/lib/slipway/slots/shop/maintenance 2>/dev/null || true')).toBe('');
    expect(await shop.says(`docker inspect --format '{{.State.Health.Status}}' ${DATABASE}`)).toBe('healthy');
    // The full copy that the watch asks for afterwards works in a place of its own, and leaves it by itself.
    await expect.poll(leftovers, { timeout: 60_000, interval: 500 }).toBe('');
  };

  test('the database goes back to a moment, what was there is kept, and the log begins anew', async () => {
    const good = await mark('good');
    await sleep(5);
    const bad = await mark('bad');
    await ship();
    const preview = await restore(good.at, { into: 'in-place', preview: true });
    const previewed = preview.events.find((event) => event.type === 'restore.previewed');
    expect(previewed?.loses).toBeGreaterThan(0);
    expect(await rows()).toBe(bad.rows);

    const { before = '', leave } = await restored(good.at, { into: 'in-place' });
    const between = new Date().toISOString();
    expect(await rows()).toBe(good.rows);
    await settled();
    expect(await shop.says(`ls ${before}/PG_VERSION`)).toContain(before);
    expect(leave.join('\n')).toContain(before);
    expect(await shop.sql('SELECT timeline_id FROM pg_control_checkpoint();')).toBe('2');
    expect(await shop.sql('SHOW restore_command;')).toBe('');

    // The log goes on in a generation of its own.
    await takeFull();
    const again = await mark('on the new timeline');
    await sleep(5);
    await mark('too late');
    await ship();
    expect(await count(again.at)).toBe(again.rows);
    // What was given up is there as well.
    expect(await count(bad.at)).toBe(bad.rows);
    const histories = `$(find ${OFFSITE} -name '00000002.history*')`;
    await shop.says(`for f in ${histories}; do mv $f $f.away; done`);
    expect(await refusal('latest')).toContain('history of timeline 2');
    await shop.says(`for f in ${histories}; do mv $f \${f%.away}; done`);
    expect(await refusal(between)).toMatch(/interrupted between 20.* and 20/);

    await restored(again.at, { into: 'in-place' });
    expect(await rows()).toBe(again.rows);
    expect(await shop.sql('SELECT timeline_id FROM pg_control_checkpoint();')).toBe('3');
    await settled();
  });

  test('killed at any moment, the next command finds one of the two and goes on with it', async () => {
    await takeFull();
    const old = await mark('the target');
    await sleep(5);
    const now = await mark('what is there now');
    await ship();
    for (const moment of ['postgres: replaying', `stopping ${DATABASE}`]) {
      await ask(shop.host, inPlace(old.at), (event) => {
        if (event.type === 'progress' && event.message === moment) killRunners(NAME);
      }).catch(() => undefined);
      await shop.converge();
      expect([old.rows, now.rows]).toContain(await rows());
      await settled();
    }
    // Between the two renames there is nothing at all in its place.
    await ask(shop.host, inPlace(old.at), (event) => {
      if (event.type === 'progress' && event.message === `stopping ${DATABASE}`) killRunners(NAME);
    }).catch(() => undefined);
    await shop.inside(
      `docker stop ${DATABASE}; cd /srv/shop; [ -e postgres.restored ] && mv postgres $(jq -r .before /var/lib/slipway/backup/shop/swap.json); ls`,
    );
    await shop.converge();
    expect([old.rows, now.rows]).toContain(await rows());
    await settled();
  });
});

describe('a release and its data', () => {
  /** Releases a version of the app, as `deploy release` does. */
  async function release(version: string): Promise<void> {
    const inventory = inventoryOf(shop.sandbox, { name: NAME, demo: true });
    const services = inventory['services'] as Readonly<Record<string, Readonly<Record<string, unknown>>>>;
    const web = { ...services['web'], image: `registry.sandbox.test/demo:${version}` };
    shop.project.write('release', { ...inventory, services: { web } }, 'POSTGRES_PASSWORD=sesame\n');
    const { error } = await ask(shop.host, await releaseRequest(shop.host, shop.project, 'release'));
    expect(error?.message).toBeUndefined();
  }

  const back = (preview: boolean) =>
    ask(shop.host, { verb: 'rollback-data', app: 'shop', environment: 'prod', by: 'tests', preview });

  async function live(): Promise<string | undefined> {
    const { events } = await ask(shop.host, { verb: 'releases', app: 'shop' });
    const releases = events.flatMap((event) => (event.type === 'releases.listed' ? event.releases : []));
    return releases.find(({ state }) => state === 'live')?.tag;
  }

  test('go back together, or neither does', async () => {
    const rows = () => shop.sql('SELECT count(*) FROM notes;');
    const good = await mark('by v1');
    expect(await live()).toBe('v1');
    await release('v2');
    const listed = (await ask(shop.host, { verb: 'backup-list', app: 'shop' })).events;
    const points = listed.flatMap((event) => (event.type === 'backup.listed' ? event.points : []));
    expect(points.at(-1)).toMatchObject({ source: 'postgres', tag: 'v2', name: expect.stringMatching(/^release /) });
    const bad = await mark('by v2');
    const { events } = await back(true);
    const previewed = events.find((event) => event.type === 'restore.previewed');
    expect(previewed).toMatchObject({ tag: 'v1' });
    expect(previewed?.loses).toBeGreaterThan(0);
    expect(await live()).toBe('v2');

    // A release that cannot be brought live keeps the data where it is, too.
    const v1 = await shop.says(`dirname $(grep -l '"tag": "v1"' /var/lib/slipway/releases/shop/*/release.json)`);
    await shop.says(
      `for f in ${v1}/blue/compose.yaml ${v1}/green/compose.yaml; do cp $f $f.kept; sed -i 's|image: .*|image: "nothing.invalid/none"|' $f; done`,
    );
    const failed = await back(false);
    expect(failed.error?.code).toBe('restore-failed');
    expect(await rows()).toBe(bad.rows);
    expect(await live()).toBe('v2');
    expect(await shop.says('ls /var/lib/slipway/slots/shop/maintenance 2>/dev/null || true')).toBe('');
    await shop.says(`for f in ${v1}/*/compose.yaml.kept; do mv $f \${f%.kept}; done`);

    const { error } = await back(false);
    expect(error?.message).toBeUndefined();
    expect(await rows()).toBe(good.rows);
    expect(await live()).toBe('v1');
    expect(await shop.says('ls /var/lib/slipway/slots/shop/maintenance 2>/dev/null || true')).toBe('');
  });
});

/** The commands of a section of the page about backups, block by block. */
function commandsIn(section: string): readonly string[] {
  const page = readFileSync('docs/backups.md', 'utf8');
  const text = page.slice(page.indexOf(`\n## ${section}\n`) + 1);
  const end = text.indexOf('\n## ');
  return [...text.slice(0, end === -1 ? undefined : end).matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map(
    ([, block = '']) => block,
  );
}

describe('on a bare machine', () => {
  const BARE = 'restore-2';

  afterAll(() => down([BARE]));

  test('the key and the page are enough to restore a second', async () => {
    // Where data was put in place before, the log has begun anew: what comes now is restored from a copy since.
    await takeFull();
    const then = await mark('then');
    await sleep(1100);
    const moment = await shop.sql(
      `SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"');`,
    );
    await sleep(1100);
    await mark('later');
    await ship();
    const [known = '', ...commands] = commandsIn('Without Slipway');
    const key = await shop.says('cat /etc/slipway/backups/shop.key');
    const values: Readonly<Record<string, string>> = {
      KEY: key,
      SNAPSHOTS: '/srv/offsite/vps/restic',
      OBJECTS: '/srv/offsite/vps/objects',
      SOURCE: 'postgres',
      MOMENT: moment,
    };
    expect([...known.matchAll(/^export (\w+)=/gm)].map(([, name]) => name)).toEqual(Object.keys(values));
    const exports = Object.entries(values).map(([name, value]) => `export ${name}='${value}'\n`);

    await down([BARE]).catch(() => undefined);
    await up({ name: BARE, aptCache: true });
    // What is off the host is somewhere else; here it is brought along.
    execFileSync('cp', ['--archive', join(hostTree(NAME), OFFSITE), join(hostTree(BARE), dirname(OFFSITE))]);
    const { exitCode, stdout } = await run(BARE, ['bash', '-euo', 'pipefail'], {
      input: `exec 2>&1\ncd /root\n${[...exports, ...commands].join('\n')}\n`,
      timeout: 600,
    });
    expect(exitCode, stdout).toBe(0);
    expect(stdout).toContain('recovery stopping before commit of transaction');
    const dump = await run(BARE, ['cat', '/root/restoring/app.sql']);
    const rows = dump.stdout.split('COPY public.notes ')[1]?.split('\n\\.\n')[0]?.split('\n').slice(1) ?? [];
    expect(rows).toHaveLength(Number(then.rows));
    expect(rows.some((row) => row.endsWith('\tthen'))).toBe(true);
  });
});
