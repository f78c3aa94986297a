import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Event } from '#protocol/event';
import { AUTHORITIES } from '#sandbox/places';
import { down, run as runInside, type SandboxHost, start, stop } from '#sandbox/sandbox';
import { appHost } from '#test/support/app-host';
import { browse } from '#test/support/browse';
import { type CliRun, deploy } from '#test/support/cli';
import { makeProject } from '#test/support/project';
import { killRunners, runnersOf } from '#test/support/runners';

const NAME = 'canary';
const DOMAIN = 'canary.sandbox.test';

const project = makeProject();
let host: SandboxHost;

const deployHere = (...argv: string[]) => deploy([...argv, '--project', project.folder]);
const inside = async (script: string) => (await runInside(NAME, ['sh', '-c', script])).stdout.trim();
const told = (events: readonly Event[]) => events.map(({ type }) => type);

/** Declares a version; versions differ in their environment alone, so no image is pulled. */
function declare(
  version: string,
  release: Readonly<Record<string, unknown>> = {},
  environment: Readonly<Record<string, string>> = {},
): void {
  project.write('prod', {
    app: 'shop',
    hosts: { vps: { address: host.address, identityFile: host.keyFile, user: host.user } },
    services: {
      web: {
        image: 'registry.sandbox.test/demo:v1',
        healthcheck: { path: '/up' },
        environment: { DATABASE_URL: 'none', REDIS_URL: 'none', VERSION: version, ...environment },
      },
    },
    routes: { [DOMAIN]: 'web:3000' },
    release: { watch: '1s', drain: '1s', healthTimeout: '20s', ...release },
    certificates: { directory: 'https://acme.sandbox.test:14000/dir', ca: AUTHORITIES },
  });
}

interface Got {
  readonly status: number;
  readonly version: string;
  readonly cookie: string | undefined;
}

async function get(path = '/', cookie?: string): Promise<Got> {
  const { status, headers } = await browse(host, DOMAIN, path, cookie === undefined ? {} : { cookie });
  return { status, version: String(headers['x-demo-version']), cookie: headers['set-cookie']?.[0]?.split(';')[0] };
}

/** As many new clients, a few at a time. */
async function clients(count: number): Promise<readonly Got[]> {
  const got: Got[] = [];
  while (got.length < count) got.push(...(await Promise.all(Array.from({ length: 5 }, () => get()))));
  return got;
}

/** Which versions new clients get. */
const served = async (): Promise<readonly string[]> =>
  [...new Set((await clients(30)).map(({ version }) => version))].sort();

/** New clients until it is told to stop: some 60 requests a second. */
function visit(): { stop(): Promise<readonly Got[]> } {
  let isOver = false;
  const got: Got[] = [];
  const visiting = (async () => {
    while (!isOver) {
      got.push(await get());
      await sleep(10);
    }
  })();
  return {
    async stop() {
      isOver = true;
      await visiting;
      return got;
    },
  };
}

/** Releases what is declared under a modest stream of visitors. */
async function release(argv: readonly string[], onEvent: (event: Event) => void = () => undefined): Promise<CliRun> {
  const visitor = visit();
  try {
    return await deploy(['release', 'prod', '--json', ...argv, '--project', project.folder], { onEvent });
  } finally {
    const lost = (await visitor.stop()).filter(({ status }) => status !== 200 && status !== 500);
    expect(lost).toEqual([]);
  }
}

const states = (events: readonly Event[]) =>
  events.flatMap((event) => (event.type === 'release.state' ? [event.state] : []));

/** Nothing of a canary is left on the host. */
async function nothingIsLeft(): Promise<void> {
  expect(await inside('ls /var/lib/slipway/slots/shop | grep canary; systemctl list-unit-files | grep canary')).toBe(
    '',
  );
  expect((await get()).cookie).toBeUndefined();
}

beforeAll(async () => {
  host = await appHost(NAME, DOMAIN);
  declare('first');
  const brought = await deployHere('up', 'prod');
  expect(brought.code, brought.stderr).toBe(0);
});

afterAll(async () => {
  await down([NAME]);
});

test('a release goes through the steps of the inventory, each with its share of clients who stay with it', async () => {
  declare('second', { canary: [20, 60], watch: '3s' });
  const shares: Promise<readonly Got[]>[] = [];
  const { code, events, stderr } = await release([], (event) => {
    if (event.type === 'release.canary') shares.push(clients(100));
  });
  expect(code, stderr).toBe(0);
  expect(states(events).slice(-6)).toEqual(['canary', 'canary', 'flipped', 'watched', 'drained', 'done']);
  const [first = [], second = []] = await Promise.all(shares);
  const share = (got: readonly Got[]) => got.filter(({ version }) => version === 'second').length / got.length;
  // Three standard deviations of 100 clients.
  expect(Math.abs(share(first) - 0.2)).toBeLessThan(0.12);
  expect(Math.abs(share(second) - 0.6)).toBeLessThan(0.15);
  const watched = events.flatMap((event) => (event.type === 'release.watched' ? [event] : []));
  expect(watched.map(({ percent }) => percent)).toEqual([20, 60, undefined]);
  for (const { now, before } of watched) expect([now.requests > 0, before.requests > 0]).toEqual([true, true]);
  expect(await served()).toEqual(['second']);
  await nothingIsLeft();
});

test('a canary that turns bad is taken back by the watch with its figures, and nobody gets it any more', async () => {
  declare('bad', { canary: [50], watch: '30s' }, { DEMO_MODE: 'errors', DEMO_MODE_AFTER_MS: '3000' });
  const { code, events, stdout, stderr } = await release([]);
  expect(code, stderr).toBe(4);
  expect(stdout + stderr).toMatch(
    /v1 was taken back \d+ s after 50 % of the clients .*\d+ of \d+ requests \([\d.]+ %\) ended with 5xx, 0 % did in the old slot/,
  );
  expect(told(events)).not.toContain('release.flipped');
  expect(await served()).toEqual(['second']);
  await nothingIsLeft();
  expect(await inside('docker ps --filter name=shop- --format x')).toBe('x');
});

test('a canary that is under way goes back when somebody else aborts it', async () => {
  declare('stopped', { canary: [50], watch: '60s' });
  let aborting: Promise<CliRun> | undefined;
  const { code, stdout, stderr } = await release([], (event) => {
    if (event.type === 'release.canary') aborting = deployHere('canary', 'abort', 'prod');
  });
  expect(code).toBe(4);
  expect(stdout + stderr).toMatch(/serves all of them again: \S+@\S+ asked for it/);
  const aborted = await aborting;
  expect(aborted?.code, aborted?.stderr).toBe(0);
  expect(await served()).toEqual(['second']);
  await nothingIsLeft();
});

test('a canary that was to be probed from a laptop goes back when that is gone', async () => {
  declare('left', { canary: [50], watch: '60s' });
  await deploy(['release', 'prod', '--probe', '5', '--json', '--project', project.folder], {
    onEvent(event, child) {
      if (event.type === 'release.canary') child.kill('SIGKILL');
    },
  });
  await expect.poll(async () => runnersOf(NAME).length, { timeout: 60_000 }).toBe(0);
  expect(await inside('cat /var/lib/slipway/releases/shop/run.json')).toMatch(/"taken-back"[\s\S]*laptop .* is gone/);
  expect(await served()).toEqual(['second']);
});

test('a canary that nobody visits goes on and says so', async () => {
  declare('unseen', { canary: [1] });
  const quiet = await deployHere('release', 'prod', '--json');
  expect(quiet.code, quiet.stderr).toBe(0);
  const warnings = quiet.events.flatMap((event) => (event.type === 'warning' ? [event.message] : []));
  expect(warnings.join()).toContain('No request came to v1');
});

test('a paused canary outlives a reboot, keeps others out, and goes on when it is promoted', async () => {
  declare('paused');
  const begun = await release(['--canary', '30,60', '--pause']);
  expect(begun.code, begun.stderr).toBe(0);
  expect(told(begun.events)).toContain('release.paused');
  expect(await inside('flock --nonblock --shared /run/slipway/operation.lock echo free')).toBe('free');
  const [sticky] = (await clients(60)).filter(({ version }) => version === 'paused');
  expect(sticky?.cookie).toBeDefined();

  await stop(NAME);
  host = await start(NAME);
  await expect.poll(() => get('/up').then(({ status }) => status, String), { timeout: 60_000 }).toBe(200);
  await expect.poll(served, { timeout: 60_000 }).toEqual(['paused', 'unseen']);
  for (let count = 0; count < 5; count += 1) expect((await get('/', sticky?.cookie)).version).toBe('paused');

  expect((await deployHere('status', 'prod')).stdout).toMatch(/canary +v1 .* 30 % of the clients for .*, paused/);
  expect((await deployHere('releases', 'prod')).stdout).toMatch(/canary +v1 .* 30 % of the clients for .*, paused/);
  declare('other');
  for (const verb of ['release', 'rollback', 'up']) {
    const refused = await deployHere(verb, 'prod');
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/v1 is a canary for 30 %[\s\S]*canary promote[\s\S]*canary abort/);
  }
  declare('paused');
  const same = await deployHere('up', 'prod');
  expect(same.code, same.stderr).toBe(0);
  expect(await served()).toEqual(['paused', 'unseen']);

  const visitor = visit();
  const next = await deployHere('canary', 'promote', 'prod');
  expect(next.code, next.stderr).toBe(0);
  expect(next.stderr).toMatch(/60 % of the clients get v1[\s\S]*canary promote prod +gives it to all clients/);
  expect((await get('/', sticky?.cookie)).version).toBe('paused');
  const last = await deployHere('canary', 'promote', 'prod', '--json');
  await visitor.stop();
  expect(last.code, last.stderr).toBe(0);
  expect(states(last.events)).toEqual(['flipped', 'watched', 'drained', 'done']);
  expect(await served()).toEqual(['paused']);
  await nothingIsLeft();
  const none = await deployHere('canary', 'promote', 'prod');
  expect(none.code).toBe(1);
  expect(none.stderr).toMatch(/No canary of shop waits for a word/);
});

test('a paused canary goes back when it is aborted, and by itself when it crashes while nobody looks', async () => {
  declare('unwanted');
  expect((await release(['--canary', '50', '--pause'])).code).toBe(0);
  const aborted = await deployHere('canary', 'abort', 'prod');
  expect(aborted.code, aborted.stderr).toBe(0);
  expect(await served()).toEqual(['paused']);
  await nothingIsLeft();

  declare('crashing');
  expect((await release(['--canary', '50', '--pause'])).code).toBe(0);
  expect(await inside('systemctl is-active slipway-canary-shop.timer')).toBe('active');
  await inside('docker exec $(docker ps --latest --quiet) kill -9 1; docker kill $(docker ps --latest --quiet)');
  await inside('systemctl start slipway-canary-shop.service');
  expect(await served()).toEqual(['paused']);
  await nothingIsLeft();
  const late = await deployHere('canary', 'promote', 'prod');
  expect(late.stderr).toMatch(/v1 was the last: it was taken back: .* crashed/);
  expect((await deployHere('history', 'prod')).stdout).toMatch(/taken back/);
});

test('a runner killed in a step: the host gives all clients the old release by itself, and the next release works', async () => {
  declare('killed', { canary: [50], watch: '30s' });
  await release([], (event) => {
    if (event.type === 'release.canary') setTimeout(() => killRunners(NAME), 500);
  });
  expect(runnersOf(NAME)).toEqual([]);
  expect(await served()).toEqual(['killed', 'paused']);
  expect((await deployHere('status', 'prod')).stdout).toMatch(/interrupted +v1/);
  // What the timer does within half a minute.
  await inside('systemctl start slipway-canary-shop.service');
  expect(await served()).toEqual(['paused']);
  await nothingIsLeft();
  declare('killed', { canary: [50] });
  const { code, stderr } = await release([]);
  expect(code, stderr).toBe(0);
  expect(await served()).toEqual(['killed']);
});
