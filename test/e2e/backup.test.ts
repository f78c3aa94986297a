import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Event } from '#protocol/event';
import { down, run as runInside, type SandboxHost } from '#sandbox/sandbox';
import { appHost } from '#test/support/app-host';
import { deploy } from '#test/support/cli';
import { makeProject, shopOn } from '#test/support/project';

const NAME = 'verbs-e2e';
const DOMAIN = 'verbs-e2e.sandbox.test';
const ENV = 'POSTGRES_PASSWORD=sesame-sesame\n';

const project = makeProject();
let sandbox: SandboxHost;
let key: string;

const deployHere = (argv: readonly string[], input?: string) =>
  deploy([...argv, '--project', project.folder], input === undefined ? {} : { input });

const inside = async (script: string) => (await runInside(NAME, ['sh', '-c', `exec 2>&1\n${script}`])).stdout.trimEnd();

const sql = (statement: string) =>
  inside(`docker exec shop-postgres psql --no-psqlrc -At --username=app app --command="${statement}"`);

/** The shop as a person would declare it, with copies of everything in two places. */
function inventory(): Record<string, unknown> {
  return {
    ...shopOn(sandbox, DOMAIN),
    backups: { repository: '/srv/offsite' },
    drills: { assert: ['select count(*) = 3 from orders'] },
  };
}

const found = <Type extends Event['type']>(events: readonly Event[], type: Type) =>
  events.filter((event): event is Extract<Event, { type: Type }> => event.type === type);

beforeAll(async () => {
  sandbox = await appHost(NAME, DOMAIN);
  project.write('prod', inventory(), ENV);
  const brought = await deployHere(['up', 'prod']);
  expect(brought.code, brought.stderr).toBe(0);
  expect(brought.stderr).toContain('deploy backup key show prod');
  await sql('create table orders (id int); insert into orders values (1), (2), (3)');
});

afterAll(async () => {
  await down([NAME]);
});

test('up installs all of it, and has nothing to do afterwards', async () => {
  expect((await inside('ls /etc/cron.d')).split('\n')).toEqual(
    expect.arrayContaining([
      'slipway-backup-shop-watch',
      'slipway-backup-shop-postgres-full',
      'slipway-backup-shop-drill',
    ]),
  );
  const again = await deployHere(['plan', 'prod', '--exit-code']);
  expect(again.code, again.stdout + again.stderr).toBe(0);
});

test('the key is shown once, proven, and only then is all well', async () => {
  const before = await deployHere(['backup', 'status', 'prod']);
  expect(before.code).toBe(1);
  expect(before.stdout).toMatch(/✗ Nobody has proven .*\n {4}→ `deploy backup key show prod`/);
  const shown = await deployHere(['backup', 'key', 'show', 'prod']);
  key = /AGE-SECRET-KEY-1[0-9A-Z]+/.exec(shown.stdout)?.[0] ?? '';
  expect(key).not.toBe('');
  expect((await deployHere(['backup', 'key', 'show', 'prod'])).code).not.toBe(0);
});

test('a copy is made now, in both places, and everything in them is looked through', async () => {
  const made = await deployHere(['backup', 'now', 'prod']);
  expect(made.code, made.stderr).toBe(0);
  for (const line of [/✓ postgres +local +copied whole/, /✓ redis +offsite +copied/]) expect(made.stderr).toMatch(line);
  const proven = await deployHere(['backup', 'key', 'verify', 'prod'], `${key}\n`);
  expect(proven.code, proven.stderr).toBe(0);
  const verified = await deployHere(['backup', 'verify', 'prod', '--json']);
  expect(found(verified.events, 'backup.ran').map(({ record }) => record.result)).toEqual(Array(4).fill('done'));
  const status = await deployHere(['backup', 'status', 'prod']);
  expect(status.stdout).toContain('all is well');
  expect(status.code).toBe(0);
  const overall = await deployHere(['status', 'prod']);
  expect(overall.stdout).toMatch(/backups +well/);
});

test('what can be restored is listed', async () => {
  const { events } = await deployHere(['backup', 'list', 'prod', '--only', 'postgres', '--json']);
  const [listed] = found(events, 'backup.listed');
  expect(listed?.copies.map(({ kind, repository, complete }) => [kind, repository, complete])).toEqual(
    expect.arrayContaining([
      ['full', 'local', true],
      ['full', 'offsite', true],
    ]),
  );
  expect(new Set(listed?.standings.map(({ source }) => source))).toEqual(new Set(['postgres']));
  const unknown = await deployHere(['backup', 'list', 'prod', '--only', 'postgre']);
  expect(unknown.code).toBe(1);
  expect(unknown.stderr).toMatch(/Nothing called postgre is backed up/);
});

test('a drill restores all of it, and the app answers on it', async () => {
  const drilled = await deployHere(['drill', 'prod', '--json']);
  const reports = found(drilled.events, 'drill.ended').map(({ report }) => report);
  expect(reports.map(({ source, verdict, why }) => [source, verdict, why])).toEqual([
    ['postgres', 'passed', undefined],
    ['redis', 'passed', undefined],
  ]);
  const checks = reports[0]?.checks.map(({ name, result }) => [name, result]);
  expect(checks).toContainEqual(['assertion: select count(*) = 3 from orders', 'passed']);
  expect(checks).toContainEqual(['the app on it', 'passed']);
  expect(drilled.code).toBe(0);
  const drills = await deployHere(['drills', 'prod']);
  expect(drills.stdout).toMatch(/postgres +passed/);
});

test('a moment before a mistake is brought back beside what runs', async () => {
  const moment = (await sql('select now()')).replace(' ', 'T').replace(/\+00$/, '+00:00');
  await sql('select pg_sleep(1); delete from orders');
  await inside('/opt/slipway/current/slipway-host backup watch shop');
  const args = ['restore', 'prod', '--to', moment, '--into', 'scratch', '--only', 'postgres', '--json'];
  const restored = await deployHere(args);
  const [done] = found(restored.events, 'restore.done');
  expect(restored.code, restored.stderr + restored.stdout).toBe(0);
  const mount = `${done?.path}:/var/lib/postgresql/data`;
  await inside(`docker run --detach --name look --network none --volume ${mount} registry.sandbox.test/postgres:17`);
  const counted = () => inside('docker exec look psql -At --username=app app --command="select count(*) from orders"');
  await expect.poll(counted, { timeout: 60_000, interval: 1000 }).toBe('3');
  await inside('docker rm --force look');
  expect(await sql('select count(*) from orders')).toBe('0');
});

test('a flipped byte is found, and the object named', async () => {
  const object = await inside('find /srv/offsite/vps/objects -name "*.zst.age" | sort | head -1');
  await inside(`printf X | dd of=${object} bs=1 seek=100 conv=notrunc`);
  const verified = await deployHere(['backup', 'verify', 'prod', '--only', 'postgres']);
  expect(verified.code).toBe(1);
  expect(verified.stderr).toContain(object.split('/').at(-1));
  expect(verified.stderr).toContain('deploy backup now prod');
  const status = await deployHere(['backup', 'status', 'prod']);
  expect(status.code).toBe(1);
  expect(status.stdout).toContain(object.split('/').at(-1));
});

test('what is not declared any more is taken off, and the plan says what stays', async () => {
  const { backups: _, drills: __, ...rest } = inventory();
  project.write('prod', rest, ENV);
  const planned = await deployHere(['plan', 'prod']);
  expect(planned.stdout + planned.stderr).toMatch(
    /- backup:shop +remove; its copies, their key and their records stay/,
  );
});
