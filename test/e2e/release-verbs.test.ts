import { spawn } from 'node:child_process';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Event } from '#protocol/event';
import { AUTHORITIES } from '#sandbox/places';
import { down, publishHostKeys, run as runInside, type SandboxHost, setRecord, up } from '#sandbox/sandbox';
import { readyInternet } from '#test/support/app-host';
import { browse } from '#test/support/browse';
import { builtCli, deploy } from '#test/support/cli';
import { makeProject } from '#test/support/project';
import { deployInTerminal } from '#test/support/terminal';

const NAMES = ['e2e-verbs-a', 'e2e-verbs-b'] as const;
const DOMAIN = 'verbs.sandbox.test';
const STAGING = 'verbs-staging.sandbox.test';

const project = makeProject();
const hosts: SandboxHost[] = [];
const hostAt = (index: number): SandboxHost => {
  const host = hosts[index];
  if (host === undefined) throw new Error(`There is no host ${index}.`);
  return host;
};

const deployHere = (...argv: string[]) => deploy([...argv, '--project', project.folder]);
const inside = async (name: string, script: string) => (await runInside(name, ['sh', '-c', script])).stdout;

function inventory(app: string, domain: string, names: Readonly<Record<string, SandboxHost>>) {
  const image = 'registry.sandbox.test/demo:v1';
  const environment = { DATABASE_URL: 'none', REDIS_URL: 'none' };
  return {
    app,
    hosts: Object.fromEntries(
      Object.entries(names).map(([name, { address, keyFile, user }]) => [
        name,
        { address, identityFile: keyFile, user },
      ]),
    ),
    services: { web: { image, environment, healthcheck: { path: '/up' } }, worker: { image, environment } },
    routes: { [domain]: 'web:3000' },
    release: { watch: '2s' },
    certificates: { directory: 'https://acme.sandbox.test:14000/dir', ca: AUTHORITIES },
  };
}

const get = (host: SandboxHost, path: string, domain = DOMAIN) => browse(host, domain, path);

const versions = async () => (await Promise.all(hosts.map((host) => get(host, '/version')))).map(({ body }) => body);

/** The events of a kind, by host. */
function told<Type extends Event['type']>(events: readonly Event[], type: Type) {
  return events.filter((event): event is Extract<Event, { type: Type }> => event.type === type);
}

beforeAll(async () => {
  await down(NAMES).catch(() => undefined);
  await readyInternet();
  for (const name of NAMES) hosts.push(await up({ name, aptCache: true, equipped: true }));
  await publishHostKeys();
  project.write('prod', {
    ...inventory('shop', DOMAIN, { a: hostAt(0), b: hostAt(1) }),
    protected: true,
    accessories: { redis: { image: 'registry.sandbox.test/redis:8' } },
  });
  project.write('staging', inventory('stage', STAGING, { b: hostAt(1) }));
  const bring = async (...argv: string[]) => {
    const brought = await deployHere('up', ...argv, '--json');
    expect(brought.code, brought.stderr + brought.stdout.slice(-2000)).toBe(0);
  };
  await setRecord(STAGING, { a: [hostAt(1).address] });
  await setRecord(DOMAIN, { a: [hostAt(0).address] });
  await Promise.all([bring('prod', '--yes', '--host', 'a'), bring('staging')]);
  // Each host gets its own certificate for the one domain, so the name leads to one after the other.
  await setRecord(DOMAIN, { a: [hostAt(1).address] });
  await bring('prod', '--yes', '--host', 'b');
});

afterAll(async () => {
  await down(NAMES);
});

test('a protected environment is changed by whoever types its name, or says --yes', async () => {
  for (const argv of [
    ['up', 'prod'],
    ['release', 'prod', '--tag', 'v2'],
    ['rollback', 'prod'],
    ['promote', 'staging', 'prod'],
    ['maintenance', 'on', 'prod'],
  ]) {
    const refused = await deployHere(...argv);
    expect(refused.code, argv.join(' ')).toBe(2);
    expect(refused.stderr).toContain('not-confirmed');
  }
  const wrong = await deployInTerminal(
    ['release', 'prod', '--tag', 'v2', '--project', project.folder],
    [{ when: 'Type its name', type: 'staging' }],
  );
  expect(wrong.code).toBe(2);
  expect(await versions()).toEqual(['v1', 'v1']);
});

test('status shows every host, within the width of the terminal', async () => {
  const { code, events } = await deployHere('status', 'prod', '--json');
  expect(code).toBe(0);
  for (const status of told(events, 'status.read')) {
    expect(status.live).toMatchObject({ tag: 'v1' });
    expect(status.containers.map(({ service }) => service).sort()).toEqual(['redis', 'web', 'worker']);
    expect(status.containers.every(({ state, restarts }) => state === 'running' && restarts === 0)).toBe(true);
    expect(Date.parse(status.certificates[0]?.ends ?? '')).toBeGreaterThan(Date.now());
  }
  expect(told(events, 'status.read').map(({ host }) => host)).toEqual(['a', 'b']);
  const { screen } = await deployInTerminal(['status', 'prod', '--project', project.folder], []);
  expect(screen).toContain('shop-blue-web-1');
  for (const line of screen.split('\r\n')) expect(line.length, line).toBeLessThanOrEqual(80);
});

test('exec hands on input, both outputs and the exit code, and has a terminal where there is one', async () => {
  const script = 'cat; echo wrong >&2; exit 7';
  const ran = await deploy(
    ['exec', 'prod', 'web', '--host', 'a', '--project', project.folder, '--', 'sh', '-c', script],
    { input: 'one\ntwo\n' },
  );
  expect(ran).toMatchObject({ code: 7, stdout: 'one\ntwo\n' });
  expect(ran.stderr).toContain('wrong');
  const nobody = await deployHere('exec', 'prod', 'nobody', 'true', '--host', 'a');
  expect(nobody.code).toBe(1);
  expect(nobody.stderr).toContain('There are web, worker, redis');
  const terminal = await deployInTerminal(
    ['exec', 'prod', 'web', '--host', 'a', '--project', project.folder, '--', 'sh'],
    [
      { when: '$ ', type: 'tty && echo in-a-$((40 + 2))' },
      { when: 'in-a-42', type: 'exit 3' },
    ],
  );
  expect(terminal.screen).toContain('/dev/pts/');
  expect(terminal.code).toBe(3);
});

test('logs follow what is written, and leave nothing behind when nobody listens any more', async () => {
  const child = spawn(process.execPath, [
    builtCli(),
    'logs',
    'prod',
    'web',
    '-f',
    '--host',
    'a',
    '--project',
    project.folder,
  ]);
  let seen = '';
  child.stdout.on('data', (chunk: Buffer) => {
    seen += chunk.toString('utf8');
  });
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  await expect.poll(() => seen, { timeout: 20_000 }).toContain('listens on port 3000');
  await sleep(1500);
  await get(hostAt(0), '/status/418');
  await expect.poll(() => seen, { timeout: 10_000 }).toContain('/status/418');
  child.kill('SIGINT');
  expect(await ended).toBe(130);
  await expect.poll(() => inside(NAMES[0], 'pgrep -f [s]lipway-host || echo none'), { timeout: 10_000 }).toBe('none\n');
  const last = await deployHere('logs', 'prod', 'web', '--host', 'a', '--lines', '1');
  expect(last.stdout).toContain('/status/418');
});

/** A tunnel to Redis on the first host, with what asks it. */
async function openTunnel() {
  const argv = [builtCli(), 'tunnel', 'prod', 'redis', '--port', '0', '--host', 'a', '--project', project.folder];
  const child = spawn(process.execPath, argv);
  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString('utf8');
  });
  const ended = new Promise<{ code: number | null; stderr: string }>((resolve) =>
    child.once('close', (code) => resolve({ code, stderr })),
  );
  const port = await new Promise<number>((resolve) =>
    child.stdout.once('data', (chunk: Buffer) => resolve(Number(/:(\d+)/.exec(chunk.toString('utf8'))?.[1]))),
  );
  const ping = () =>
    new Promise<string>((resolve, reject) => {
      const socket = connect(port, '127.0.0.1', () => socket.write('PING\r\n'));
      socket.once('data', (chunk: Buffer) => {
        resolve(chunk.toString('utf8'));
        socket.end();
      });
      socket.once('error', reject);
    });
  return { child, ended, ping };
}

test('a tunnel leads to a container whose port is not published, with one runner for all connections', async () => {
  const { child, ended, ping } = await openTunnel();
  const pongs = await Promise.all(Array.from({ length: 40 }, ping));
  expect(new Set(pongs)).toEqual(new Set(['+PONG\r\n']));
  expect(await inside(NAMES[0], 'pgrep -c -f [s]lipway-host.mjs.pipe')).toBe('1\n');
  child.kill('SIGINT');
  expect((await ended).code).toBe(0);
  await expect.poll(() => inside(NAMES[0], 'pgrep -f [s]lipway-host || echo none'), { timeout: 10_000 }).toBe('none\n');
});

test('a tunnel whose connection to the host breaks says so and ends', async () => {
  const { ended, ping } = await openTunnel();
  expect(await ping()).toBe('+PONG\r\n');
  await inside(NAMES[0], 'pkill -f sshd-session:.deploy');
  expect(await ended).toMatchObject({ code: 6, stderr: expect.stringContaining('connection-lost') });
});

test('maintenance answers 503 to all but those who are let through, without a reload', async () => {
  const started = () => inside(NAMES[0], 'pgrep -P $(cat /run/nginx.pid)');
  const workers = await started();
  expect((await deployHere('maintenance', 'on', 'prod', '--yes')).code).toBe(0);
  expect(await get(hostAt(0), '/version')).toMatchObject({
    status: 503,
    headers: { 'retry-after': '120' },
  });
  expect((await get(hostAt(0), '/version')).body).toContain('back soon');
  expect((await get(hostAt(0), '/up')).status).toBe(200);
  const { events } = await deployHere('status', 'prod', '--json');
  expect(told(events, 'status.read').map(({ maintenance }) => maintenance?.allow)).toEqual([[], []]);
  const here = (await inside(NAMES[0], "ip route show default | awk '{print $3}'")).trim();
  expect((await deployHere('maintenance', 'on', 'prod', '--yes', '--allow', here)).code).toBe(0);
  expect((await get(hostAt(0), '/version')).status).toBe(200);
  expect((await deployHere('maintenance', 'off', 'prod')).code).toBe(0);
  expect(await versions()).toEqual(['v1', 'v1']);
  expect(await started()).toBe(workers);
});

test('a release that is probed from here loses nothing on either host', async () => {
  const released = await deployHere('release', 'prod', '--tag', 'v2', '--probe', '20', '--yes', '--json');
  expect(released.code, released.stderr + released.stdout.slice(-2000)).toBe(0);
  const line = released.stdout.split('\n').find((text) => text.includes('probe.measured')) ?? '{}';
  const measured = JSON.parse(line) as { sent: number; failed: number; after: { sent: number } };
  expect(measured.failed).toBe(0);
  expect(measured.after.sent).toBeGreaterThan(20);
  expect(await versions()).toEqual(['v2', 'v2']);
  const again = await deployHere('release', 'prod', '--tag', 'v2', '--yes');
  expect(again.code).toBe(0);
  expect(again.stderr).toContain('no change');
});

test('a rejected release exits with 4, and what serves goes on', async () => {
  const rejected = await deployHere('release', 'prod', '--tag', 'crash', '--yes');
  expect(rejected.code, rejected.stderr).toBe(4);
  expect(rejected.stderr).toContain('DEMO_MODE is crash');
  expect(await versions()).toEqual(['v2', 'v2']);
});

test('rollback goes back on all hosts, and by tag', async () => {
  const back = await deployHere('rollback', 'prod', '--yes');
  expect(back.code, back.stderr).toBe(0);
  expect(await versions()).toEqual(['v1', 'v1']);
  const { events } = await deployHere('releases', 'prod', '--json');
  for (const { releases } of told(events, 'releases.listed')) {
    expect(releases.find(({ tag }) => tag === 'v1')?.state).toBe('live');
    expect(releases.find(({ tag }) => tag === 'v2')?.state).toBe('warm');
  }
  expect((await deployHere('rollback', 'prod', '--to', 'v2', '--yes')).code).toBe(0);
  expect(await versions()).toEqual(['v2', 'v2']);
  const unknown = await deployHere('rollback', 'prod', '--to', 'v99', '--yes');
  expect(unknown.code).toBe(1);
  expect(unknown.stderr).toContain('release-unknown');
});

test('a second operation is told who is at work and for how long, or waits', async () => {
  const note = JSON.stringify({ operation: 'x', verb: 'up', by: 'ana@laptop', since: new Date().toISOString() });
  await inside(
    NAMES[0],
    `echo '${note}' > /run/slipway/operation.json; setsid flock /run/slipway/operation.lock sleep 12 >/dev/null 2>&1 &`,
  );
  await sleep(500);
  const refused = await deployHere('release', 'prod', '--tag', 'v1', '--yes');
  expect(refused.code, refused.stderr).toBe(5);
  expect(refused.stderr).toMatch(/`deploy up` by ana@laptop has been at work on this host for [\d.]+ s/);
  expect(await versions()).toEqual(['v2', 'v2']);
  const waited = await deployHere('release', 'prod', '--tag', 'v1', '--yes', '--wait');
  expect(waited.code, waited.stderr).toBe(0);
  expect(waited.stderr).toContain('waiting for `deploy up by ana@laptop, at work for');
  expect(await versions()).toEqual(['v1', 'v1']);
});

test('promote ships the digests that staging runs', async () => {
  expect((await deployHere('release', 'staging', '--tag', 'v2')).code).toBe(0);
  const promoted = await deployHere('promote', 'staging', 'prod', '--yes');
  expect(promoted.code, promoted.stderr).toBe(0);
  expect(await versions()).toEqual(['v2', 'v2']);
  const live = async (name: string) =>
    told((await deployHere('releases', name, '--json')).events, 'releases.listed').map(
      ({ releases }) => releases.find(({ state }) => state === 'live')?.services,
    );
  const [staged] = await live('staging');
  expect(staged?.['web']).toMatch(/@sha256:/);
  expect(await live('prod')).toEqual([staged, staged]);
});

test('a paused canary goes on where both hosts have it, and back on whichever has it', async () => {
  const [before = ''] = await versions();
  const other = before === 'v1' ? 'v2' : 'v1';
  const begun = await deployHere('release', 'prod', '--tag', other, '--canary', '30', '--pause', '--yes');
  expect(begun.code, begun.stderr).toBe(0);
  const shares = async () =>
    told((await deployHere('status', 'prod', '--json')).events, 'status.read').map(({ canary }) => canary?.percent);
  expect(await shares()).toEqual([30, 30]);
  // One host takes it back by itself.
  const { slot } = JSON.parse(await inside(NAMES[1], 'cat /var/lib/slipway/releases/shop/run.json'));
  await inside(NAMES[1], `docker kill shop-${slot}-web-1; systemctl start slipway-canary-shop.service`);
  expect(await shares()).toEqual([30, undefined]);
  const promoted = await deployHere('canary', 'promote', 'prod', '--yes');
  expect(promoted.code).toBe(1);
  expect(promoted.stderr).toMatch(/a: called off, since b failed/);
  expect(await shares()).toEqual([30, undefined]);
  const aborted = await deployHere('canary', 'abort', 'prod', '--yes');
  expect(aborted.code, aborted.stderr).toBe(0);
  expect(await shares()).toEqual([undefined, undefined]);
  expect(await versions()).toEqual([before, before]);
});

test('history names who did what, and the entry that was changed', async () => {
  const whole = await deployHere('history', 'prod', '--verify', '--host', 'a');
  expect(whole.code, whole.stderr).toBe(0);
  for (const op of ['up', 'exec', 'maintenance', 'release', 'rollback']) expect(whole.stdout).toContain(op);
  await inside(NAMES[0], 'sed -i "2s/root@/rooT@/" /var/lib/slipway/ledger/shop.ndjson');
  const broken = await deployHere('history', 'prod', '--verify', '--host', 'a');
  expect(broken.code).toBe(1);
  expect(broken.stderr).toContain('Entry 2 is not as it was written');
});
