import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Request } from '#protocol/plan';
import type { LedgerEntry, ListedRelease } from '#protocol/release';
import { AUTHORITIES } from '#sandbox/places';
import { down, run as runInside, type SandboxHost } from '#sandbox/sandbox';
import { appHost } from '#test/support/app-host';
import { browse } from '#test/support/browse';
import { deploy } from '#test/support/cli';
import { type OnHost, onHost } from '#test/support/converge';
import { makeProject } from '#test/support/project';
import { type Asked, ask, type Meanwhile, releaseRequest, rollbackRequest } from '#test/support/release';
import { killRunners } from '#test/support/runners';

const NAME = 'release';
const DOMAIN = 'release.sandbox.test';
const STATE = '/var/lib/slipway/releases/shop';
const LEDGER = '/var/lib/slipway/ledger/shop.ndjson';

const project = makeProject();
let sandbox: SandboxHost;
let host: OnHost;

/** What a variant of the app is declared with; every variant is a release of its own. */
interface Variant {
  readonly image?: string;
  readonly environment?: Readonly<Record<string, string>>;
  readonly service?: Readonly<Record<string, unknown>>;
  readonly release?: Readonly<Record<string, unknown>>;
  readonly routes?: Readonly<Record<string, string>>;
}

const FAST = { healthTimeout: '3s', watch: '0s', drain: '2s' };

function declare(
  name: string,
  { image = 'v1', environment = {}, service = {}, release = {}, routes = {} }: Variant,
): void {
  project.write(name, {
    app: 'shop',
    hosts: { vps: { address: sandbox.address, identityFile: sandbox.keyFile, user: sandbox.user } },
    services: {
      web: {
        image: `registry.sandbox.test/demo:${image}`,
        healthcheck: { path: '/up' },
        environment: { DATABASE_URL: 'none', REDIS_URL: 'none', ...environment },
        ...service,
      },
    },
    routes: { [DOMAIN]: 'web:3000', ...routes },
    release: { ...FAST, ...release },
    certificates: { directory: 'https://acme.sandbox.test:14000/dir', ca: AUTHORITIES },
  });
}

async function wanted(variant: Variant, hold = false): Promise<Request> {
  declare('try', variant);
  return releaseRequest(host, project, 'try', hold);
}

async function release(variant: Variant): Promise<Asked> {
  return ask(host, await wanted(variant));
}

/** Makes a release of this version serve, whatever served before. */
async function serve(version: string, variant: Variant = {}): Promise<void> {
  const { error } = await release({ ...variant, environment: { ...variant.environment, VERSION: version } });
  expect(error?.message).toBeUndefined();
  expect(await served()).toBe(version);
}

const get = (path: string) => browse(sandbox, DOMAIN, path);

/** What a script prints on the host, without the line break at its end. */
const says = async (script: string): Promise<string> =>
  (await runInside(NAME, ['sh', '-c', `{ ${script}; } 2>&1`])).stdout.trimEnd();

const served = async (): Promise<string> => (await get('/version')).body;
const state = async (): Promise<string> => JSON.parse(await says(`cat ${STATE}/run.json`)).state;

async function listed(): Promise<readonly ListedRelease[]> {
  const { events } = await ask(host, { verb: 'releases', app: 'shop' });
  return events.flatMap((event) => (event.type === 'releases.listed' ? event.releases : []));
}

async function history(): Promise<{
  entries: readonly LedgerEntry[];
  broken: { seq: number; why: string } | undefined;
}> {
  const { events } = await ask(host, { verb: 'history', app: 'shop', verify: true });
  const [read] = events.flatMap((event) => (event.type === 'ledger.read' ? [event] : []));
  return { entries: read?.entries ?? [], broken: read?.broken };
}

beforeAll(async () => {
  sandbox = await appHost(NAME, DOMAIN);
  declare('prod', { environment: { VERSION: 'first' } });
  const brought = await deploy(['up', 'prod', '--project', project.folder]);
  expect(brought.code, brought.stderr).toBe(0);
  host = await onHost({ ...sandbox, user: 'deploy' });
});

afterAll(async () => {
  await host?.[Symbol.asyncDispose]();
  await down([NAME]);
});

test.each<[string, Variant, RegExp, RegExp]>([
  ['127.0.0.1 alone', { environment: { HOST: '127.0.0.1' } }, /listens on 127\.0\.0\.1:3000 only/, /0\.0\.0\.0/],
  ['another port', { environment: { PORT: '4000' } }, /wrong port, the app listens on port 4000/, /web:4000/],
  ['a redirect', { environment: { DEMO_MODE: 'redirect' } }, /answers 301, a redirect to https:\/\/example/, /2xx/],
  ['a loop', { environment: { DEMO_MODE: 'loop' } }, /endless redirect/, /X-Forwarded-Proto/],
  ['4xx', { service: { healthcheck: { path: '/nope' } } }, /\/nope answers 404/, /healthcheck\.path/],
  ['5xx', { environment: { DEMO_MODE: 'unhealthy' } }, /answers 500: DEMO_MODE is unhealthy/, /app fails by itself/],
  ['no answer', { environment: { DEMO_MODE: 'hang' } }, /no answer: timeout/, /health check waits for/],
  [
    'a crash',
    { environment: { DEMO_MODE: 'crash' } },
    /crashed right after its start \(exit 1\)[\s\S]*Cannot go on/,
    /last words/,
  ],
  ['no memory', { environment: { DEMO_MODE: 'killed' } }, /exit 137\), most likely out of memory/, /memory/],
  ['no program', { service: { command: ['nope'] } }, /never started: there is no program nope/, /command/],
  [
    'its own check',
    { service: { healthcheck: { test: ['CMD', 'false'], interval: '1s', retries: 1, start_period: '0s' } } },
    /not healthy by its own health check/,
    /healthcheck\.test/,
  ],
  [
    'a migration',
    { release: { command: 'node -e "console.error(5);process.exit(3)"' } },
    /release command failed \(exit 3\)[\s\S]*5/,
    /Mend/,
  ],
])(
  'a release that fails by %s is rejected with the cause and its fix, and traffic is untouched',
  async (_name, variant, why, fix) => {
    const before = await served();
    // As long as an app needs to boot: what is wrong then is told once the time is over.
    const impatient = { healthTimeout: '2s', ...variant.release };
    const { error, events } = await release({ image: 'v2', ...variant, release: impatient });
    expect(error?.message).toMatch(why);
    expect(error?.hint).toMatch(/^Traffic was not touched\./);
    expect(error?.hint).toMatch(fix);
    expect(error?.exitCode).toBe(4);
    expect(events.map(({ type }) => type)).not.toContain('release.flipped');
    expect(await served()).toBe(before);
    expect(await state()).toBe('rejected');
  },
);

test('the container of a rejected release is kept for a look, and is not started again', async () => {
  await release({ environment: { DEMO_MODE: 'crash' } });
  expect(await says('docker ps --all --filter status=exited --format "{{.Names}} {{.State}}"')).toMatch(
    /^shop-(?:blue|green)-web-1 exited$/,
  );
});

test('the warm slot takes over at once, and again the other way', async () => {
  await serve('a');
  await serve('b');
  const back = await ask(host, rollbackRequest('shop'));
  expect(back.error?.message).toBeUndefined();
  expect(await served()).toBe('a');
  expect(back.events.flatMap((event) => (event.type === 'release.state' ? [event.state] : []))).toEqual([
    'gated',
    'flipped',
    'drained',
    'done',
  ]);
  expect(
    (await listed())
      .map((one) => one.state)
      .slice(0, 2)
      .sort(),
  ).toEqual(['live', 'warm']);
  expect((await ask(host, rollbackRequest('shop'))).error).toBeUndefined();
  expect(await served()).toBe('b');
});

test('any kept release comes back as it was, with the registry gone and dangling images pruned', async () => {
  await serve('old', {
    image: 'v2',
    environment: { GREETING: 'from then' },
    routes: { [`www.${DOMAIN}`]: 'web:3000' },
  });
  const [old] = await listed();
  await serve('newer');
  await serve('newest', { release: { warm: '0s' } });
  await says(
    'cp /etc/hosts /etc/hosts.kept; echo 127.0.0.9 registry.sandbox.test >> /etc/hosts; docker image prune --force',
  );
  try {
    const { error } = await ask(host, rollbackRequest('shop', old?.id));
    expect(error?.message).toBeUndefined();
    expect(await served()).toBe('old');
    const greetings = 'for id in $(docker ps -q --filter name=shop-); do docker exec $id env; done | grep GREETING';
    expect(await says(greetings)).toBe('GREETING=from then');
  } finally {
    await says('cp /etc/hosts.kept /etc/hosts');
  }
});

test('a release that is not there is no release to go back to', async () => {
  const { error } = await ask(host, rollbackRequest('shop', 'v99'));
  expect(error).toMatchObject({ code: 'release-unknown', hint: expect.stringContaining('deploy releases') });
});

test('the old slot is stopped by the host itself when its time is over', async () => {
  await serve('cooling');
  await serve('cool', { release: { warm: '2s' } });
  await expect.poll(() => says('docker ps --filter name=shop- --format x'), { timeout: 60_000 }).toBe('x');
  expect(await served()).toBe('cool');
});

test('releases that nobody goes back to leave neither files nor images', async () => {
  await serve('other', { image: 'v2', service: { command: ['node', '/app/demo-app.cjs', 'kept'] } });
  // Rejected ones are kept for a look, the last two of them.
  for (const attempt of ['1', '2']) await release({ environment: { DEMO_MODE: 'crash', ATTEMPT: attempt } });
  for (const version of ['1', '2', '3', '4', '5', '6']) await serve(`prune-${version}`);
  const folders = Number(await says(`ls -d ${STATE}/*/ | wc -l`));
  expect(folders).toBe((await listed()).length);
  expect(folders).toBeLessThanOrEqual(9);
  expect(await says('docker images slipway/shop --format "{{.Tag}}" | grep -c ^v2')).toBe('0');
  expect(await says('docker images slipway/shop --format "{{.Tag}}" | grep -c ^v1')).toBe('1');
});

test('the release command runs once, before the new slot is started', async () => {
  const { error, events } = await release({
    environment: { VERSION: 'migrated' },
    release: { command: 'node -e "console.log(process.env.VERSION)"' },
  });
  expect(error?.message).toBeUndefined();
  expect(await served()).toBe('migrated');
  expect(events.filter((event) => event.type === 'progress' && /release command/.test(event.message))).toHaveLength(1);
  expect(await says('docker ps --all --filter name=shop-command --format x')).toBe('');
});

test.each<[string, (meanwhile: Meanwhile) => void, boolean]>([
  ['flips when it is told to', (meanwhile) => void meanwhile.say('flip'), true],
  ['is undone when it is called off', (meanwhile) => void meanwhile.say('abort'), false],
  ['is undone when the laptop leaves', (meanwhile) => meanwhile.leave(), false],
])('a release that holds %s', async (name, act, flips) => {
  const before = await served();
  const version = `held ${name}`.replaceAll(' ', '-');
  let atReady = '';
  const asking = await wanted({ environment: { VERSION: version } }, true);
  const { error } = await ask(host, asking, (event, meanwhile) => {
    if (event.type !== 'release.ready') return;
    void served().then((now) => {
      atReady = now;
      act(meanwhile);
    });
  });
  expect(atReady).toBe(before);
  expect(await served()).toBe(flips ? version : before);
  expect(error?.code).toBe(flips ? undefined : 'release-aborted');
  expect(await state()).toBe(flips ? 'done' : 'rejected');
});

/** Asks for the front page, several times at once, until it is told to stop. */
function visit(): { stop(): Promise<void> } {
  let isOver = false;
  const visitors = Array.from({ length: 16 }, async () => {
    while (!isOver) {
      await get('/').catch(() => undefined);
      await sleep(100);
    }
  });
  return {
    async stop() {
      isOver = true;
      await Promise.all(visitors);
    },
  };
}

test.each<[string, Record<string, string>, string, RegExp]>([
  ['answers with errors 10 s later', { DEMO_MODE: 'errors', DEMO_MODE_AFTER_MS: '12000' }, '15s', /ended with 5xx/],
  ['crashes', { DEMO_MODE: 'crash', DEMO_MODE_AFTER_MS: '3000' }, '30s', /crashed after the flip|ended with 5xx/],
  ['is slow', { DEMO_MODE: 'slow' }, '10s', /half of the requests took longer than 1[5-9]\d\d ms, before it was/],
])(
  'a release that passes its health check and then %s is taken back by the watch',
  async (_name, environment, watch, why) => {
    await serve('good');
    const visitor = visit();
    try {
      // What it is compared with is what was asked before.
      await sleep(1000);
      const { error, events } = await release({
        environment: { VERSION: 'bad', ...environment },
        release: { watch },
      });
      const watched = events.filter(({ type }) => type === 'release.watched');
      expect(error?.code, JSON.stringify(watched)).toBe('release-taken-back');
      expect(error?.exitCode).toBe(4);
      expect(error?.message).toMatch(why);
      expect(events.map(({ type }) => type)).toContain('release.taken-back');
    } finally {
      await visitor.stop();
    }
    expect(await served()).toBe('good');
    expect(await state()).toBe('taken-back');
  },
);

test.each<[string, string, readonly string[]]>([
  ['during the watch has the release taken back', '20s', ['release release-taken-back']],
  // It is still being drained when the new release turns bad, so its watch is over and its probe is not.
  ['only when the watch is over has it gone back from', '0s', ['release done', 'rollback done']],
])('a loss that the probe sees %s', async (_name, watch, entries) => {
  await serve('good');
  declare('probed', {
    environment: { VERSION: 'probed', DEMO_MODE: 'errors', DEMO_MODE_AFTER_MS: '5500' },
    release: { watch, drain: '8s' },
  });
  let slow: Promise<unknown> | undefined;
  const argv = ['release', 'probed', '--probe', '20', '--project', project.folder, '--json'];
  const { code, stdout } = await deploy(argv, {
    onEvent: (event) => {
      if (event.type === 'release.state' && event.state === 'pulled')
        slow = get('/slow?ms=6500').catch(() => undefined);
    },
  });
  await slow;
  expect(code, stdout.slice(-2000)).toBe(4);
  expect(stdout).toMatch(/requests-lost.*answered 500/);
  expect(stdout).toContain('"type":"probe.measured"');
  expect(await served()).toBe('good');
  const past = (await history()).entries.map(({ op, result }) => `${op} ${result}`);
  expect(past.slice(-entries.length)).toEqual(entries);
});

test.each(['preflight', 'pulled', 'commanded', 'started', 'gated', 'flipped', 'watched', 'drained'] as const)(
  'kill -9 of the runner at `%s` leaves one of the two serving, and the next operation ends what it began',
  async (at) => {
    const before = await served();
    const version = `killed-at-${at}`;
    const variant = { environment: { VERSION: version }, release: { watch: '500ms', command: 'true' } };
    const { events } = await ask(host, await wanted(variant), (event) => {
      if (event.type === 'release.state' && event.state === at) killRunners(NAME);
    });
    expect(events.map(({ type }) => type)).not.toContain('operation.finished');
    expect([before, version]).toContain(await served());
    // Any operation that changes something will do; this one wants nothing of its own.
    await host.up([], { app: 'stranger' });
    const now = await state();
    expect(await served()).toBe(now === 'done' ? version : before);
    expect(['done', 'rejected']).toContain(now);
    expect((await history()).entries.at(-1)?.result).toBe(
      now === 'done' ? 'interrupted, finished' : 'interrupted, undone',
    );
    expect((await release(variant)).error?.message).toBeUndefined();
    expect(await served()).toBe(version);
    expect(await state()).toBe('done');
  },
);

test('an edited byte in the ledger is named', async () => {
  const { entries, broken } = await history();
  expect(entries.length).toBeGreaterThan(15);
  expect(broken).toBeUndefined();
  expect(entries.map(({ op }) => op)).toEqual(expect.arrayContaining(['up', 'release', 'rollback']));
  await says(`cp ${LEDGER} ${LEDGER}.kept; sed -i '5s/"result":"./"result":"X/' ${LEDGER}`);
  expect((await history()).broken).toEqual({ seq: 5, why: 'its hash is not that of its content' });
  await says(`sed '7d' ${LEDGER}.kept > ${LEDGER}`);
  expect((await history()).broken).toEqual({ seq: 7, why: 'it does not follow the entry before it' });
  await says(`mv ${LEDGER}.kept ${LEDGER}`);
});
