import type { ChildProcess } from 'node:child_process';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Event } from '#protocol/event';
import { AUTHORITIES } from '#sandbox/places';
import { down, internet, publishHostKeys, run as runInside, type SandboxHost, setRecord, up } from '#sandbox/sandbox';
import { readyInternet } from '#test/support/app-host';
import { browse } from '#test/support/browse';
import { type CliOptions, deploy } from '#test/support/cli';
import { makeProject } from '#test/support/project';

const NAMES = ['hosts-a', 'hosts-b', 'hosts-c'] as const;
type Name = (typeof NAMES)[number];
const [A, B, C] = NAMES;
const DOMAIN = 'hosts.sandbox.test';

const project = makeProject();
const hosts = new Map<Name, SandboxHost>();
const hostOf = (name: Name): SandboxHost => {
  const host = hosts.get(name);
  if (host === undefined) throw new Error(`There is no host ${name}.`);
  return host;
};

const deployHere = (argv: readonly string[], onEvent?: CliOptions['onEvent']) =>
  deploy([...argv, '--project', project.folder, '--json'], onEvent === undefined ? {} : { onEvent });
const inside = async (name: Name, script: string) => (await runInside(name, ['sh', '-c', script])).stdout.trim();

interface Variant {
  readonly tag?: string;
  readonly environment?: Readonly<Record<string, string>>;
  readonly release?: Readonly<Record<string, unknown>>;
}

/** Writes the inventory, and one for each host alone that has an app without a route. */
function declare({ tag = 'v1', environment = {}, release = {} }: Variant): void {
  const service = {
    image: `registry.sandbox.test/demo:${tag}`,
    environment: { DATABASE_URL: 'none', REDIS_URL: 'none', ...environment },
  };
  const ways = NAMES.map((name) => {
    const { address, keyFile, user } = hostOf(name);
    return [name, { address, identityFile: keyFile, user }] as const;
  });
  const certificates = { directory: 'https://acme.sandbox.test:14000/dir', ca: AUTHORITIES };
  project.write('prod', {
    app: 'shop',
    hosts: Object.fromEntries(ways),
    services: { web: { ...service, healthcheck: { path: '/up' } } },
    routes: { [DOMAIN]: 'web:3000' },
    release: { watch: '2s', warm: '60s', ...release },
    certificates,
  });
  for (const [name, way] of ways) {
    project.write(`bare-${name}`, { app: 'bare', hosts: { [name]: way }, services: { web: service }, certificates });
  }
}

const get = async (name: Name, path: string) => (await browse(hostOf(name), DOMAIN, path)).body;

const versions = () => Promise.all(NAMES.map((name) => get(name, '/version')));
const state = async (name: Name): Promise<string> =>
  JSON.parse(await inside(name, 'cat /var/lib/slipway/releases/shop/run.json')).state;
const isFree = async (name: Name) =>
  (await inside(name, 'flock --nonblock /run/slipway/operation.lock echo free || true')) === 'free';

/** Keeps a host busy, so that the others wait for it; resolves with what frees it. */
async function keepBusy(name: Name): Promise<() => Promise<unknown>> {
  const note = JSON.stringify({ operation: 'x', verb: 'up', by: 'ana@laptop', since: new Date().toISOString() });
  await inside(
    name,
    `echo '${note}' > /run/slipway/operation.json; setsid flock /run/slipway/operation.lock sleep 120 >/dev/null 2>&1 & sleep 0.5`,
  );
  return () => inside(name, 'pkill -x -f "sleep 120"');
}

const told = (events: readonly Event[], type: Event['type']) =>
  events.filter((event) => event.type === type).map(({ host }) => host);

beforeAll(async () => {
  await down(NAMES).catch(() => undefined);
  await readyInternet();
  for (const name of NAMES) hosts.set(name, await up({ name, aptCache: true, equipped: true }));
  await publishHostKeys();
  declare({});
  const bring = async (...argv: string[]) => {
    const brought = await deployHere(['up', ...argv]);
    expect(brought.code, brought.stderr + brought.stdout.slice(-2000)).toBe(0);
  };
  await setRecord(DOMAIN, { a: [hostOf(A).address] });
  await Promise.all([bring('prod', '--host', A), bring(`bare-${B}`), bring(`bare-${C}`)]);
  // Each host gets its own certificate for the one domain, so the name leads to one after the other.
  for (const name of [B, C]) {
    await setRecord(DOMAIN, { a: [hostOf(name).address] });
    await bring('prod', '--host', name);
  }
}, 600_000);

afterAll(async () => {
  await down(NAMES);
});

test('a changed version goes live with `up` on all hosts or on none', async () => {
  const { address } = await internet();
  declare({ tag: 'v2' });
  await inside(C, `ip route add unreachable ${address}`);
  const refused = await deployHere(['up', 'prod']);
  await inside(C, `ip route del unreachable ${address}`);
  expect(refused.code, refused.stdout.slice(-2000)).not.toBe(0);
  expect(told(refused.events, 'release.flipped')).toEqual([]);
  expect(refused.stdout.match(/other-host-failed/g)).toHaveLength(2);
  expect(await versions()).toEqual(['v1', 'v1', 'v1']);
  const brought = await deployHere(['up', 'prod']);
  expect(brought.code, brought.stderr).toBe(0);
  const order = brought.events.map(({ type }) => type);
  expect(told(brought.events, 'release.flipped')).toHaveLength(3);
  expect(order.lastIndexOf('release.ready')).toBeLessThan(order.indexOf('release.flipped'));
  expect(await versions()).toEqual(['v2', 'v2', 'v2']);
});

test('the release command runs once, before any host starts the new version', async () => {
  const command = (text: string) => ({ release: { command: `node -e "${text}"` } });
  declare({ tag: 'v1', ...command('setTimeout(() => process.exit(3), 1500)') });
  await setRecord(DOMAIN, { a: ['192.0.2.9'] });
  let attached: ReturnType<typeof deployHere> | undefined;
  const failed = await deployHere(['release', 'prod'], (event) => {
    if (event.type === 'operation.started') attached ??= deployHere(['attach', 'prod', '--host', event.host ?? '']);
  });
  await setRecord(DOMAIN, { a: [hostOf(C).address] });
  expect(failed.code, failed.stderr).toBe(4);
  expect(failed.stdout).toMatch(/hosts\.sandbox\.test leads to 192\.0\.2\.9.*a CDN or a load balancer/);
  // Whoever follows a release from elsewhere hears of its end, and gets its exit code.
  const followed = await attached;
  expect(followed?.code).toBe(4);
  expect(followed?.events.map(({ type }) => type)).toContain('operation.failed');
  expect(failed.stdout).toContain('The release command failed (exit 3)');
  expect(failed.stdout.match(/other-host-failed/g)).toHaveLength(2);
  const started = (events: readonly Event[]) =>
    events.filter((event) => event.type === 'release.state' && event.state === 'started').map(({ host }) => host);
  expect(started(failed.events)).toEqual([]);
  declare({ tag: 'v1', ...command('setTimeout(() => {}, 1500)') });
  const released = await deployHere(['up', 'prod']);
  expect(released.code, released.stderr).toBe(0);
  const runs = released.events.filter(
    (event) => event.type === 'progress' && event.message === 'running the release command',
  );
  expect(runs.map(({ host }) => host)).toEqual([A]);
  const states = released.events.flatMap((event) => (event.type === 'release.state' ? [event.state] : []));
  expect(states.indexOf('commanded')).toBeLessThan(states.indexOf('started'));
  expect(started(released.events)).toHaveLength(3);
  expect(await versions()).toEqual(['v1', 'v1', 'v1']);
});

test('what was brought live beside the inventory is told before `up` replaces it', async () => {
  expect((await deployHere(['release', 'prod', '--tag', 'v2'])).code).toBe(0);
  const note = /v2 was brought live by \S+@\S+ on [\d-]+ and is not in the inventory/;
  expect((await deployHere(['plan', 'prod'])).stdout).toMatch(note);
  const brought = await deployHere(['up', 'prod']);
  expect(brought.code, brought.stderr).toBe(0);
  expect(brought.events.filter((event) => event.type === 'warning' && note.test(event.message))).toHaveLength(3);
  expect(await versions()).toEqual(['v1', 'v1', 'v1']);
  expect((await deployHere(['plan', 'prod'])).stdout).not.toMatch(note);
});

test('where the first host serves the release already, the others need not wait for its command', async () => {
  declare({ tag: 'v2', release: { command: 'true' } });
  expect((await deployHere(['up', 'prod', '--host', A])).code).toBe(0);
  expect(await versions()).toEqual(['v2', 'v1', 'v1']);
  const released = await deployHere(['release', 'prod']);
  expect(released.code, released.stdout.slice(-2000)).toBe(0);
  expect(told(released.events, 'release.flipped').sort()).toEqual([B, C]);
  expect(released.stdout).not.toContain('running the release command');
  expect(await versions()).toEqual(['v2', 'v2', 'v2']);
});

test('what the watch of one host takes back is taken back on all', async () => {
  declare({ tag: 'v1', release: { watch: '8s' } });
  const bad = await deployHere(['release', 'prod'], (event) => {
    if (event.type !== 'release.flipped' || event.host !== B) return;
    for (let sent = 0; sent < 10; sent += 1) void get(B, '/status/503').catch(() => undefined);
  });
  expect(bad.code, bad.stdout.slice(-2000)).toBe(4);
  expect(told(bad.events, 'release.taken-back').sort()).toEqual([A, B, C]);
  expect(bad.stdout).toMatch(/of \d+ requests \([\d.]+ %\) ended with 5xx/);
  expect(await versions()).toEqual(['v2', 'v2', 'v2']);
});

/** Starts a release that has to wait for one host; resolves once all others are ready. */
async function releaseUpTo(last: Name): Promise<{ child: ChildProcess; ended: ReturnType<typeof deployHere> }> {
  const ready = new Set<string>();
  let ended: ReturnType<typeof deployHere> | undefined;
  const child = await new Promise<ChildProcess>((resolve) => {
    ended = deployHere(['release', 'prod', '--wait'], (event, child) => {
      if (event.type === 'release.ready') ready.add(event.host ?? '');
      if (ready.size === NAMES.length - 1) resolve(child);
    });
  });
  expect([...ready]).not.toContain(last);
  if (ended === undefined) throw new Error('Nothing was started.');
  return { child, ended };
}

test('hosts that wait for a laptop that was killed undo what they began, and nothing stays locked', async () => {
  declare({ tag: 'v1' });
  const free = await keepBusy(C);
  const { child, ended } = await releaseUpTo(C);
  child.kill('SIGKILL');
  await ended;
  await free();
  for (const name of [A, B] as const) await expect.poll(() => isFree(name), { timeout: 20_000 }).toBe(true);
  expect(await Promise.all([A, B].map(state))).toEqual(['rejected', 'rejected']);
  expect(await versions()).toEqual(['v2', 'v2', 'v2']);
  const next = await deployHere(['release', 'prod']);
  expect(next.code, next.stdout.slice(-2000)).toBe(0);
  expect(await versions()).toEqual(['v1', 'v1', 'v1']);
});

test('a host that is cut off before it hears of the flip undoes by itself, and the next run brings all together', async () => {
  declare({ tag: 'v2' });
  const free = await keepBusy(B);
  const { ended } = await releaseUpTo(B);
  await inside(C, 'iptables -I INPUT -i host0 -j DROP; iptables -I OUTPUT -o host0 -j DROP');
  await free();
  await expect.poll(() => get(B, '/version'), { timeout: 30_000, interval: 500 }).toBe('v2');
  await expect.poll(() => isFree(C), { timeout: 60_000, interval: 1000 }).toBe(true);
  expect(await state(C)).toBe('rejected');
  await inside(C, 'iptables -D INPUT -i host0 -j DROP; iptables -D OUTPUT -o host0 -j DROP');
  const cut = await ended;
  expect(cut.code, cut.stdout.slice(-2000)).not.toBe(0);
  expect(await versions()).toEqual(['v2', 'v2', 'v1']);
  expect((await deployHere(['release', 'prod'])).code).toBe(0);
  expect(await versions()).toEqual(['v2', 'v2', 'v2']);
});
