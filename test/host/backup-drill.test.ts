import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Alarm, DrillReport } from '#protocol/backup';
import { type BackedUp, backedUp, DATABASE, OFFSITE } from '#test/support/backed-up';
import { type CliRun, deploy } from '#test/support/cli';

const NAME = 'drill';
const STATE = '/var/lib/slipway/backup/shop';
const OBJECTS = `${OFFSITE}/vps/objects`;

let there: BackedUp;

/** Runs a verb of the built command line on the host's environment. */
const cli = (...argv: readonly string[]): Promise<CliRun> => deploy([...argv, '--project', there.project.folder]);

/** A drill of the database, by the command line; its report, and how the command ended. */
async function drill(...argv: readonly string[]): Promise<{ readonly run: CliRun; readonly report: DrillReport }> {
  const run = await cli('drill', 'prod', '--only', 'postgres', '--json', ...argv);
  const report = run.events.flatMap((event) => (event.type === 'drill.ended' ? [event.report] : []))[0];
  if (report === undefined) throw new Error(`there is no report:\n${run.stdout}\n${run.stderr}`);
  return { run, report };
}

const reports = async (): Promise<readonly DrillReport[]> => {
  const { events } = await cli('drills', 'prod', '--json');
  return events.flatMap((event) => (event.type === 'drills.listed' ? event.reports : []));
};

async function alarms(): Promise<readonly Alarm[]> {
  const { events } = await cli('backup', 'status', 'prod', '--json');
  return events.flatMap((event) => (event.type === 'backup.stands' ? event.alarms : []));
}

const alarmsOfDrills = async () => (await alarms()).filter(({ message }) => message.includes('drill'));

/** What drills make on a host, as long as they run. */
const leftovers = (): Promise<string> =>
  there.says(`
docker ps --all --filter label=slipway.drill --format '{{.Names}}'
docker network ls --filter label=slipway.drill --format '{{.Name}}'
docker volume ls --quiet --filter dangling=true
find ${STATE}/scratch -mindepth 1 -not -name sweep 2>/dev/null || true`);

/** What production is: since when its containers run, and how often they were started again. */
const production = (): Promise<string> =>
  there.says(
    `docker inspect --format '{{.Name}} {{.State.StartedAt}} {{.RestartCount}} {{json .NetworkSettings.Networks}}' ${DATABASE} shop-blue-web-1`,
  );

const failing = ({ checks }: DrillReport) => checks.filter(({ result }) => result === 'failed');

beforeAll(async () => {
  there = await backedUp({ name: NAME, demo: true, release: { healthTimeout: '4s' } });
  await there.sql(`CREATE TABLE orders AS SELECT n AS id, md5(n::text) AS text FROM generate_series(1, 20000) n;
    CREATE INDEX ON orders (text);`);
  await there.job('full', 'postgres');
  await there.sql(`INSERT INTO orders SELECT n, 'later' FROM generate_series(20001, 21000) n;`);
  expect((await there.job('watch')).code).toBe(0);
});

afterAll(async () => {
  await there?.[Symbol.asyncDispose]();
});

test('cron restores the copy that is off the host, looks through it, boots the app on it, and leaves a report', async () => {
  const before = await production();
  // Cron reads its files once a minute, at the beginning of the minute.
  const due = new Date(Date.now() + 75_000);
  await there.converge({
    crons: true,
    drills: {
      schedule: `${due.getUTCMinutes()} ${due.getUTCHours()} * * *`,
      assert: ['SELECT count(*) = 21000 FROM orders'],
    },
  });
  await there.says(
    `timedatectl show --property=Timezone --value 2>/dev/null; cat /etc/cron.d/slipway-backup-shop-drill`,
  );
  const deadline = Date.now() + 240_000;
  while (Date.now() < deadline && (await there.inside(`ls ${STATE}/drills/*.json`)).code !== 0) await sleep(2000);
  await there.converge({ crons: false });
  const [report] = await reports();
  expect(report, await there.says('journalctl --no-pager --identifier=slipway-backup | tail -40')).toMatchObject({
    source: 'postgres',
    repository: 'offsite',
    verdict: 'passed',
    target: 'latest',
    by: `the host ${NAME}`,
  });
  const found = new Map(report?.checks.map(({ name, result }) => [name, result]));
  for (const name of ['log', 'pg_verifybackup', 'recovery', 'promoted', 'row counts', 'full read-through']) {
    expect(found.get(name), name).toBe('passed');
  }
  expect(found.get('assertion: SELECT count(*) = 21000 FROM orders')).toBe('passed');
  expect(found.get('tables and indexes')).toBe('passed');
  expect(found.get('page checksums')).toBe('passed');
  expect(found.get('the app on it')).toBe('passed');
  expect(report?.rto).toBeGreaterThan(0);
  expect(report?.rpo).toBeLessThan(600);
  expect((await there.records()).findLast(({ job }) => job === 'drill')).toMatchObject({ result: 'done' });
  expect(await there.says(`ls ${OBJECTS}/drills/postgres`)).toMatch(`${report?.id}.json.`);
  expect(await there.says('journalctl --no-pager --identifier=slipway-backup')).toContain(
    'drill postgres offsite: done',
  );
  expect(await leftovers()).toBe('');
  expect(await production()).toBe(before);
});

test('an assertion that is not true fails the drill with what it answered, alarms until one has passed, and is on the page', async () => {
  await there.converge({ drills: { assert: ['SELECT 1', 'SELECT count(*) = 7 FROM orders', 'SELECT nothing'] } });
  const { run, report } = await drill();
  expect(run.code).toBe(1);
  expect(report.verdict).toBe('failed');
  expect(failing(report).map(({ found }) => found.split('\n')[0])).toEqual([
    'answered 1, not true',
    'answered f, not true',
    'ERROR:  column "nothing" does not exist',
  ]);
  expect(await alarmsOfDrills()).toEqual([
    expect.objectContaining({ source: 'postgres', message: expect.stringContaining('answered 1, not true') }),
  ]);
  const page = join(there.project.folder, 'drills.html');
  expect((await cli('drills', 'prod', '--html', page)).code).toBe(0);
  const html = readFileSync(page, 'utf8');
  expect(html).toContain('answered f, not true');
  expect(html).toContain('What can be restored now');
  expect(html).not.toMatch(/<script|https?:\/\/(?!www\.w3\.org)/);
  await there.converge();
  expect((await drill()).report.verdict).toBe('passed');
  expect(await alarmsOfDrills()).toEqual([]);
});

test('a moment drawn by chance is restored; one that was never kept is no fault of the copies', async () => {
  const { report } = await drill('--target', 'random');
  expect(report, report.why).toMatchObject({ verdict: 'passed', target: expect.stringMatching(/^20.*Z$/) });
  const mistaken = await drill('--target', '2020-01-01T00:00:00Z');
  expect(mistaken.run.code).toBe(1);
  expect(mistaken.report.verdict).toBe('error');
  expect(mistaken.report.why).toContain('before all that is kept');
});

/** Kinds of stored objects, and a script that breaks one and prints its name. */
const BROKEN: readonly [string, string][] = [
  [
    'a flipped byte in an object of log',
    `F=$(ls ${OBJECTS}/wal/postgres/*/*/*.age | grep -v partial | tail -1); flip "$F"`,
  ],
  [
    'a truncated object of log',
    `F=$(ls ${OBJECTS}/wal/postgres/*/*/*.age | grep -v partial | tail -1); truncate --size=-100 "$F"`,
  ],
  [
    'two objects of log that have changed places',
    `F=$(ls ${OBJECTS}/wal/postgres/*/*/*.age | grep -v partial | tail -1); G=$(ls ${OBJECTS}/wal/postgres/*/*/*.age | tail -1); cp "$F" /root/swapped; cp "$G" "$F"; cp /root/swapped "$G"`,
  ],
  ['a flipped byte in what was noted of a copy', `F=$(ls ${OBJECTS}/bases/postgres/*.age | tail -1); flip "$F"`],
  [
    'a flipped byte in a pack of restic',
    `F=$(find ${OFFSITE}/vps/restic/data -type f -size +200k | sort | head -1); flip "$F"`,
  ],
  [
    'a copy of which a file is not what its manifest says',
    `export RESTIC_REPOSITORY=${OFFSITE}/vps/restic RESTIC_PASSWORD_FILE=/etc/slipway/backups/shop.key
S=$(restic snapshots --json --no-cache latest); id() { grep -o '"id":"[0-9a-f]*"' | head -1 | cut -d'"' -f4; }
OLD=$(echo "$S" | id); BASE=$(echo "$S" | grep -o 'base=[^"]*' | head -1)
restic dump --no-cache "$OLD" /postgres.tar | LC_ALL=C sed 's/# PostgreSQL Client Authentication/# PostgreSQL client authentication/' \\
  | restic backup --quiet --no-cache --host vps --stdin --stdin-filename postgres.tar --tag source=postgres --tag kind=full --tag "$BASE"
restic forget --quiet --no-cache "$OLD"; F=$(restic snapshots --json --no-cache latest | id)`,
  ],
  [
    'a pack of restic that is gone',
    `F=$(find ${OFFSITE}/vps/restic/data -type f -size +200k | sort | head -1); rm "$F"`,
  ],
];

const FLIP = `flip() {
  at=$(( $(stat --format=%s "$1") / 2 ))
  byte=$(od --address-radix=n --format=u1 --skip-bytes=$at --read-bytes=1 "$1")
  printf "\\\\$(printf %o $(( byte ^ 255 )))" | dd of="$1" bs=1 seek=$at conv=notrunc status=none
}`;

test.each(BROKEN)('%s fails the drill, which names it', async (_what, breaking) => {
  await there.says(`rm -rf /root/whole && cp -a ${OFFSITE} /root/whole`);
  try {
    const file = await there.says(`${FLIP}\n${breaking}\nbasename "$F"`);
    const { run, report } = await drill();
    expect(run.code).toBe(1);
    expect(report.verdict, JSON.stringify(report)).toBe('failed');
    // restic names packs by the beginning of their hash, as everywhere.
    const told = /^[0-9a-f]{64}$/.test(file) ? file.slice(0, 8) : file;
    expect(
      failing(report)
        .map(({ found }) => found)
        .join('\n'),
    ).toContain(told);
  } finally {
    await there.says(`rm -rf ${OFFSITE} && mv /root/whole ${OFFSITE} && rm -rf /root/.cache/restic`);
  }
});

test('a disk without room, and one that fills up meanwhile, are errors and touch nothing', async () => {
  const before = await production();
  await there.says(`mount -t tmpfs -o size=64m tmpfs ${STATE}/scratch`);
  try {
    const { run, report } = await drill();
    expect(run.code).toBe(1);
    expect(report.verdict).toBe('error');
    expect(report.why).toMatch(/must be free at .*scratch/);
  } finally {
    await there.says(`umount ${STATE}/scratch`);
  }
  await there.says(`mount -t tmpfs -o size=800m tmpfs ${STATE}/scratch`);
  try {
    const filler = there.inside(
      `for i in $(seq 600); do ls -d ${STATE}/scratch/*/postgres-0 >/dev/null 2>&1 && break; sleep 0.1; done
       dd if=/dev/zero of="$(dirname ${STATE}/scratch/*/postgres-0)/filler" bs=1M`,
      120,
    );
    const { run, report } = await drill();
    expect((await filler).said).toContain('No space left');
    expect(run.code).toBe(1);
    expect(report.verdict, report.why).toBe('error');
    expect(report.why).toMatch(/disk is full|no space left|are free/i);
  } finally {
    await there.says(`umount ${STATE}/scratch`);
  }
  expect(await alarmsOfDrills()).toEqual([
    expect.objectContaining({ message: expect.stringContaining('could not be carried out') }),
  ]);
  expect(await leftovers()).toBe('');
  expect(await production()).toBe(before);
});

/** Moments at which a drill is killed: what shows that it has come, and what it leaves for the next minute. */
const KILLED: readonly [string, string, RegExp][] = [
  ['while base and log are fetched', "pgrep --full '[r]estic .* dump'", /postgres-0\/data/],
  [
    'while its database runs',
    'docker ps --quiet --filter label=slipway.drill --filter name=slipway-drill | grep .',
    /slipway-drill-[\s\S]*\.lock/,
  ],
];

test.each(KILLED)('a drill that is killed %s leaves nothing after the next minute', async (_when, sign, left) => {
  const killed = there.inside(`/opt/slipway/current/slipway-host backup drill shop --now`, 120);
  await there.says(
    `for i in $(seq 1200); do ${sign} > /dev/null && break; sleep 0.05; done
     pkill -9 --full 'slipway-host.mjs backup [d]rill'
     for i in $(seq 200); do pgrep --full '[t]ar --extract|[r]estic .* dump' > /dev/null || exit 0; sleep 0.1; done; exit 1`,
    120,
  );
  await killed;
  expect(await leftovers()).toMatch(left);
  expect((await there.job('watch')).code).toBe(0);
  expect(await leftovers()).toBe('');
});

test('an app that does not become healthy on the copy fails the drill with its last words', async () => {
  await there.sql(`ALTER ROLE app PASSWORD 'another';`);
  const { said: at } = await there.inside('sleep 1; date --utc +%Y-%m-%dT%H:%M:%SZ; sleep 1');
  await there.sql(`ALTER ROLE app PASSWORD 'sesame'; INSERT INTO orders SELECT 0, 'afterwards';`);
  expect((await there.job('watch')).code).toBe(0);
  const { run, report } = await drill('--target', at);
  expect(run.code).toBe(1);
  expect(report, report.why).toMatchObject({ verdict: 'failed', target: at });
  const [failed] = failing(report);
  expect(failed?.name, failed?.found).toBe('the app on it');
  expect(failed?.found).toMatch(/password authentication failed/);
  expect(await leftovers()).toBe('');
});
