import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { run } from '#core/run';
import { hostTree } from '#sandbox/places';
import {
  down,
  publishHostKeys,
  run as runInside,
  type SandboxHost,
  setRecord,
  start,
  stop,
  up,
} from '#sandbox/sandbox';
import { readyInternet } from '#test/support/app-host';
import { browse } from '#test/support/browse';
import { deploy } from '#test/support/cli';
import { makeProject, shopOn } from '#test/support/project';
import { killRunners, runnersOf } from '#test/support/runners';

const NAME = 'e2e-shop';
const DOMAIN = 'e2e.sandbox.test';
const CANARY = 'canary-Zq7w9Kp2xV';

const project = makeProject();
let host: SandboxHost;

beforeAll(async () => {
  await down([NAME]).catch(() => undefined);
  await readyInternet();
  host = await up({ name: NAME, aptCache: true });
  await publishHostKeys();
  await setRecord(DOMAIN, { a: [host.address], aaaa: [host.address6] });
  project.write('prod', shopOn(host, DOMAIN), `POSTGRES_PASSWORD=${CANARY}\n`);
});

afterAll(async () => {
  await down([NAME]);
});

const inside = async (script: string) => (await runInside(NAME, ['sh', '-c', script])).stdout;
const deployHere = (...argv: string[]) => deploy([...argv, '--project', project.folder]);

const get = (path: string) => browse(host, DOMAIN, path);

/** Looks at the arguments of every process of the machine, and so of its sandbox hosts, until it is told to stop. */
function watchArguments(word: string): { stop(): readonly string[] } {
  const seen = new Set<string>();
  const own = new Set([String(process.pid)]);
  let looks = 0;
  const timer = setInterval(() => {
    looks += 1;
    for (const pid of readdirSync('/proc')) {
      if (!/^\d+$/.test(pid) || own.has(pid)) continue;
      try {
        const argv = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
        if (argv.includes(word)) seen.add(argv.replaceAll('\0', ' '));
      } catch {
        // It has ended meanwhile.
      }
    }
  }, 15);
  return {
    stop() {
      clearInterval(timer);
      expect(looks).toBeGreaterThan(100);
      return [...seen];
    },
  };
}

test('`deploy up` takes a bare host to the app on https, and its secret goes nowhere it is not needed', async () => {
  const watch = watchArguments(CANARY);
  const brought = await deployHere('up', 'prod', '--json');
  expect(watch.stop()).toEqual([]);
  expect(brought.code, brought.stderr + brought.stdout.slice(-2000)).toBe(0);
  expect(brought.stdout + brought.stderr).not.toContain(CANARY);
  const { body } = await get('/version');
  expect(body).toBe('v1');
  expect((await get('/up')).status).toBe(200);

  // From outside, over the whole tree: everything that holds the secret may be read by its owner alone.
  const tree = hostTree(NAME);
  const found = await run(['grep', '--recursive', '--files-with-matches', '--text', '--fixed-strings', CANARY, tree], {
    timeout: 300,
  });
  const files = found.stdout
    .trim()
    .split('\n')
    .filter((file) => !file.startsWith(`${tree}/proc`));
  const shown = files.map((file) => file.replace(tree, ''));
  expect(shown.length).toBeGreaterThan(2);
  const others = ['setpriv', '--reuid', 'nobody', '--regid', 'nogroup', '--clear-groups'];
  for (const file of shown) {
    const asNobody = await runInside(NAME, [...others, 'test', '-r', file]);
    expect(asNobody.exitCode, `${file} can be read by others`).toBe(1);
  }
  const kinds = new Set(
    shown.map((line) => line.replace(/[0-9a-f]{12,}/g, '*').replace(/^(\/var\/lib\/(?:docker|containerd))\/.*/, '$1')),
  );
  expect([...kinds].sort()).toEqual([
    '/etc/slipway/apps/shop/pgbouncer/userlist.txt',
    '/etc/slipway/apps/shop/postgres/password',
    '/var/lib/containerd',
    '/var/lib/docker',
    '/var/lib/slipway/releases/shop/*/web.env',
  ]);
});

test('the second run changes nothing, and the plan says so', async () => {
  const again = await deployHere('up', 'prod', '--json');
  expect(again.events.find(({ type }) => type === 'plan')).toMatchObject({ steps: [] });
  expect((await deployHere('plan', 'prod', '--exit-code')).code).toBe(0);
});

test('nothing is open but what the inventory declares', async () => {
  const { stdout } = await run(
    [
      'bash',
      '-c',
      `for port in 22 80 443 2375 3000 5432 6379 8080 9000; do timeout 1 bash -c "true </dev/tcp/${host.address}/$port" 2>/dev/null && echo $port; done; true`,
    ],
    { timeout: 60 },
  );
  expect(stdout.trim().split('\n')).toEqual(['22', '80', '443']);
});

test('nothing of Slipway stays resident', async () => {
  expect(await inside('pgrep -fa [s]lipway-host || echo none')).toBe('none\n');
});

/** Waits until the app answers. */
async function serves(): Promise<void> {
  await expect.poll(async () => (await get('/up').catch(() => ({ status: 0 }))).status, { timeout: 90_000 }).toBe(200);
}

/** What an audit says is not as it should be. */
async function findings(): Promise<readonly string[]> {
  const { stdout } = await deployHere('audit', 'prod', '--json');
  const { controls } = JSON.parse(stdout) as { controls: { id: string; status: string }[] };
  expect(controls.length).toBeGreaterThan(100);
  return controls.filter(({ status }) => status === 'finding').map(({ id }) => id);
}

test.each([
  ['at once', ['true']],
  ['after ufw was reloaded', ['ufw', 'reload']],
  ['after Docker was restarted', ['systemctl', 'restart', 'docker']],
  ['after updates were installed', ['unattended-upgrade']],
])('an audit finds nothing %s', async (_, argv) => {
  expect((await runInside(NAME, argv)).exitCode).toBe(0);
  await serves();
  expect(await findings()).toEqual([]);
});

test('a reboot changes nothing, and an audit finds nothing', async () => {
  await stop(NAME);
  host = await start(NAME);
  await serves();
  expect(await findings()).toEqual([]);
  const after = await deployHere('plan', 'prod', '--json');
  expect(after.events.find(({ type }) => type === 'plan')).toMatchObject({ steps: [] });
});

test('a new version goes into the other slot, and nobody who asks meanwhile is left without an answer', async () => {
  const inventory = shopOn(host, DOMAIN) as { services: { web: { image: string } } };
  inventory.services.web.image = 'registry.sandbox.test/demo:v2';
  project.write('prod', inventory);
  let isOver = false;
  const answers: number[] = [];
  const asking = (async () => {
    while (!isOver) {
      answers.push((await get('/version').catch(() => ({ status: 0 }))).status);
      await sleep(20);
    }
  })();
  const release = await deployHere('up', 'prod', '--json');
  isOver = true;
  await asking;
  expect(release.code, release.stderr).toBe(0);
  expect(release.events.find(({ type }) => type === 'plan')).toMatchObject({
    steps: [{ action: 'release', resource: 'release:shop' }],
  });
  expect((await get('/version')).body).toBe('v2');
  expect(answers.length).toBeGreaterThan(20);
  expect(answers.filter((status) => status !== 200)).toEqual([]);
  expect((await deployHere('plan', 'prod', '--exit-code')).code).toBe(0);
});

test('what leaves the inventory leaves the host, data and strangers stay', async () => {
  await inside(
    'echo "* * * * * root true" > /etc/cron.d/theirs; ufw allow 8443/tcp comment theirs; mkdir -p /srv/theirs',
  );
  const { app, hosts, certificates } = shopOn(host, DOMAIN);
  project.write('prod', { app, hosts, certificates });
  const removal = await deployHere('up', 'prod', '--json');
  expect(removal.code, removal.stderr + removal.stdout.slice(-3000)).toBe(0);
  expect(await inside('docker ps --all --quiet | wc -l')).toBe('0\n');
  expect(
    await inside(
      'ls /etc/nginx/sites-enabled /var/lib/slipway/releases /var/lib/slipway/slots 2>/dev/null | grep -c shop',
    ),
  ).toBe('0\n');
  expect(
    await inside('ls /etc/slipway/apps /etc/slipway/certificates 2>/dev/null | grep -c -e shop -e sandbox.test'),
  ).toBe('0\n');
  // A database that was declared once is not thrown away because a line was deleted.
  expect(await inside('ls /srv/shop/postgres | grep -c PG_VERSION')).toBe('1\n');
  expect(await inside('cat /etc/cron.d/theirs; ufw status | grep -c theirs; ls -d /srv/theirs')).toBe(
    '* * * * * root true\n2\n/srv/theirs\n',
  );
  expect((await deployHere('plan', 'prod', '--exit-code')).code).toBe(0);
});

test('kill -9 of the runner at every step of a bring-up: the next run goes on, and the last one changes nothing', async () => {
  const name = 'e2e-kill';
  await down([name]).catch(() => undefined);
  host = await up({ name, aptCache: true });
  await publishHostKeys();
  await setRecord(DOMAIN, { a: [host.address], aaaa: [host.address6] });
  project.write('prod', shopOn(host, DOMAIN));
  const killedAt: string[] = [];
  try {
    for (let attempt = 0; attempt < 150; attempt += 1) {
      let victim: string | undefined;
      const attempted = await deploy(['up', 'prod', '--json', '--project', project.folder], {
        onEvent(event) {
          if (event.type !== 'resource.started' || victim !== undefined || killedAt.includes(event.resource)) return;
          victim = event.resource;
          killRunners(name);
        },
      });
      if (victim === undefined) {
        expect(attempted.code, attempted.stderr + attempted.stdout.slice(-3000)).toBe(0);
        break;
      }
      killedAt.push(victim);
    }
    expect(killedAt.length).toBeGreaterThan(40);
    expect((await get('/version')).body).toBe('v1');
    expect((await deploy(['plan', 'prod', '--exit-code', '--project', project.folder])).code).toBe(0);
  } finally {
    await down([name]);
  }
});

test('kill -9 of the laptop at every stage: what runs on the host goes on, and the next run converges', async () => {
  const name = 'e2e-laptop';
  await down([name]).catch(() => undefined);
  host = await up({ name, aptCache: true });
  await publishHostKeys();
  await setRecord(DOMAIN, { a: [host.address], aaaa: [host.address6] });
  project.write('prod', shopOn(host, DOMAIN));
  const stages = [
    'hello',
    'plan',
    'resource.started',
    'guard.armed',
    'guard.proof-wanted',
    'guard.disarmed',
    'trigger.fired',
  ];
  try {
    for (const stage of stages) {
      await deploy(['up', 'prod', '--json', '--project', project.folder], {
        onEvent: (event, child) => {
          if (event.type === stage) child.kill('SIGKILL');
        },
      });
      // The operation goes on without anybody listening; the host is locked until it has ended.
      await expect
        .poll(() => runnersOf(name).length === 0, {
          timeout: 180_000,
          interval: 500,
        })
        .toBe(true);
    }
    const last = await deploy(['up', 'prod', '--json', '--project', project.folder]);
    expect(last.code, last.stderr + last.stdout.slice(-3000)).toBe(0);
    expect((await get('/version')).body).toBe('v1');
    expect((await deploy(['plan', 'prod', '--exit-code', '--project', project.folder])).code).toBe(0);
  } finally {
    await down([name]);
  }
});
