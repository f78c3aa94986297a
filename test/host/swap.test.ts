import { readFileSync } from 'node:fs';
import { Agent, request } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { dockerRequest } from '#host/docker';
import { type Inspected, NO_RESTART, removeContainer, setRestart } from '#release/containers';
import type { Host } from '#resources/resource';
import { AUTHORITIES } from '#sandbox/places';
import { down, run as runInside, type SandboxHost, start, stop } from '#sandbox/sandbox';
import { appHost } from '#test/support/app-host';
import { deploy } from '#test/support/cli';
import { type OnHost, onHost } from '#test/support/converge';
import { laptopEngine } from '#test/support/laptop-engine';
import { makeProject } from '#test/support/project';
import { type Asked, ask, releaseRequest, rollbackRequest } from '#test/support/release';
import { killRunners } from '#test/support/runners';

const NAME = 'hold-swap';
const DOMAIN = 'swap.sandbox.test';
const STATE = '/var/lib/slipway/releases/shop';
const FLAGS = '/var/lib/slipway/slots/shop';

/** Starts only where nobody else has the file: as a database does that has one writer. */
const ALONE = ['flock', '--no-fork', '--nonblock', '--conflict-exit-code', '75'];

const project = makeProject();
let sandbox: SandboxHost;
let host: OnHost;

interface Variant {
  readonly environment?: Readonly<Record<string, string>>;
  readonly release?: Readonly<Record<string, unknown>>;
  /** What the workers are started with, by their name. */
  readonly workers?: Readonly<Record<'queue' | 'mail', Readonly<Record<string, string>>>>;
}

const STORELESS = { DATABASE_URL: 'none', REDIS_URL: 'none' };

/** A worker that runs alone, and one whose old and new containers may overlap. */
function background(workers: Variant['workers']): Readonly<Record<string, unknown>> {
  if (workers === undefined) return {};
  const image = 'registry.sandbox.test/demo:v1';
  return {
    queue: {
      image,
      command: [...ALONE, '/data/queue', 'node', '/app/demo-app.cjs'],
      user: 'root',
      volumes: ['data:/data'],
      environment: { ...STORELESS, ...workers.queue },
    },
    mail: {
      image,
      environment: { ...STORELESS, ...workers.mail },
      deploy: { replicas: 2, update_config: { order: 'start-first' } },
    },
  };
}

function declare(name: string, version: string, { environment = {}, release = {}, workers }: Variant = {}): void {
  project.write(name, {
    app: 'shop',
    hosts: { vps: { address: sandbox.address, identityFile: sandbox.keyFile, user: sandbox.user } },
    services: {
      web: {
        image: 'registry.sandbox.test/demo:v1',
        command: [...ALONE, '/data/lock', 'node', '/app/demo-app.cjs'],
        user: 'root',
        volumes: ['data:/data'],
        healthcheck: { path: '/up' },
        environment: { ...STORELESS, VERSION: version, ...environment },
        deploy: { update_config: { order: 'stop-first' } },
      },
      ...background(workers),
    },
    routes: { [DOMAIN]: 'web:3000' },
    release: { healthTimeout: '20s', watch: '0s', drain: '5s', ...release },
    certificates: { directory: 'https://acme.sandbox.test:14000/dir', ca: AUTHORITIES },
  });
}

async function release(
  version: string,
  variant: Variant = {},
  during: Parameters<typeof ask>[2] = () => undefined,
): Promise<Asked> {
  declare('try', version, variant);
  return ask(host, await releaseRequest(host, project, 'try'), during);
}

/** What a script prints on the host, without the line break at its end. */
const says = async (script: string): Promise<string> =>
  (await runInside(NAME, ['sh', '-c', `{ ${script}; } 2>&1`])).stdout.trimEnd();

const state = async (): Promise<string> => JSON.parse(await says(`cat ${STATE}/run.json`)).state;

interface Told {
  readonly status: number;
  readonly version: string | undefined;
  readonly body: string;
}

function send(agent: Agent | false, body?: string): Promise<Told> {
  return new Promise((resolve, reject) => {
    const options = {
      host: sandbox.address,
      servername: DOMAIN,
      headers: { host: DOMAIN },
      agent,
      ca: readFileSync(AUTHORITIES),
      method: body === undefined ? 'GET' : 'POST',
      path: body === undefined ? '/version' : '/echo',
    };
    const question = request(options, (response) => {
      const version = response.headers['x-demo-version'];
      let said = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        said += chunk;
      });
      response.once('error', reject);
      response.once('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          version: typeof version === 'string' ? version : undefined,
          body: said,
        }),
      );
    });
    question.once('error', reject);
    question.end(body);
  });
}

const served = async (): Promise<string> => (await send(false)).body.trim();

/** Twenty requests a second, every other one a POST over a connection that is kept; what was not answered well is lost. */
function stream(): { stop(): Promise<{ sent: number; lost: readonly string[]; versions: readonly string[] }> } {
  const agent = new Agent({ keepAlive: true, maxSockets: 4 });
  const lost: string[] = [];
  const versions = new Set<string>();
  const open: Promise<void>[] = [];
  const timer = setInterval(() => {
    const body = open.length % 2 === 0 ? undefined : `order ${open.length}`;
    const one = send(body === undefined ? false : agent, body).then(
      ({ status, version = '', body: said }) => {
        if (status !== 200 || (body !== undefined && said !== body)) lost.push(`${status} ${said}`);
        else versions.add(version);
      },
      (error: Error) => void lost.push(error.message),
    );
    open.push(one);
  }, 50);
  return {
    async stop() {
      await sleep(500);
      clearInterval(timer);
      await Promise.all(open);
      agent.destroy();
      return { sent: open.length, lost, versions: [...versions].sort() };
    },
  };
}

/** How many containers of a service ran at once at most since a time, by what Docker has told. */
async function atOnce(
  service: string,
  since: string,
  replicas = 1,
): Promise<{ readonly started: number; readonly most: number }> {
  const filters = '--filter type=container --filter event=start --filter event=die';
  const format = '{{.Action}} {{.Actor.Attributes.name}}';
  const events = await says(`docker events --since ${since} --until $(date +%s.%N) ${filters} --format '${format}'`);
  let running = replicas;
  let most = running;
  let started = 0;
  for (const [action, name = ''] of events.split('\n').map((line) => line.split(' '))) {
    if (!name.includes(`-${service}-`)) continue;
    running += action === 'start' ? 1 : -1;
    started += action === 'start' ? 1 : 0;
    most = Math.max(most, running);
  }
  return { started, most };
}

const now = (): Promise<string> => says('date +%s.%N');

beforeAll(async () => {
  sandbox = await appHost(NAME, DOMAIN);
  declare('prod', 'first');
  const brought = await deploy(['up', 'prod', '--project', project.folder]);
  expect(brought.code, brought.stderr).toBe(0);
  host = await onHost({ ...sandbox, user: 'deploy' });
});

afterAll(async () => {
  await host?.[Symbol.asyncDispose]();
  await down([NAME]);
});

test('what cannot run twice is swapped: requests wait, none is lost, and never do two run at once', async () => {
  const since = await now();
  const visitors = stream();
  const { error, events } = await release('second');
  const { sent, lost, versions } = await visitors.stop();
  expect(error?.message).toBeUndefined();
  expect(lost).toEqual([]);
  expect(sent).toBeGreaterThan(20);
  expect(versions).toEqual(['first', 'second']);
  expect(await atOnce('web', since)).toEqual({ started: 1, most: 1 });
  expect(events.map(({ type }) => type)).toEqual(
    expect.arrayContaining(['release.drained', 'release.flipped', 'release.resumed']),
  );
  expect(await says(`ls ${FLAGS}/held`)).toMatch(/No such file/);
});

test('a rollback is the same swap the other way', async () => {
  const before = await served();
  const since = await now();
  const visitors = stream();
  const { error } = await ask(host, rollbackRequest('shop'));
  const { lost, versions } = await visitors.stop();
  expect(error?.message).toBeUndefined();
  expect(lost).toEqual([]);
  expect(versions).toHaveLength(2);
  expect(await served()).not.toBe(before);
  expect(await atOnce('web', since)).toEqual({ started: 1, most: 1 });
});

test.each<[string, Variant, RegExp, RegExp]>([
  ['crashes', { environment: { DEMO_MODE: 'crash' } }, /crashed right after its start/, /was started again and serves/],
  [
    'takes too long',
    { environment: { DEMO_BOOT_MS: '30000' }, release: { hold: '6s' } },
    /nothing listens/,
    /raise `release\.hold`/,
  ],
])('a release that %s gives way to the one before it, and no request is lost', async (name, variant, why, fix) => {
  const before = await served();
  const since = await now();
  const visitors = stream();
  const { error } = await release(name.replaceAll(' ', '-'), variant);
  const { lost, versions } = await visitors.stop();
  expect(error?.exitCode).toBe(4);
  expect(error?.message).toMatch(why);
  expect(error?.hint).toMatch(fix);
  expect(lost).toEqual([]);
  expect(versions).toEqual([before]);
  expect(await served()).toBe(before);
  expect(await atOnce('web', since)).toMatchObject({ most: 1 });
});

/** Turns bad some time after it was found well. */
const TURNING: Variant = {
  environment: { DEMO_MODE: 'crash', DEMO_MODE_AFTER_MS: '3000' },
  release: { watch: '20s' },
};

test('a release that turns bad is taken back by the same swap', async () => {
  const before = await served();
  const since = await now();
  const { error } = await release('bad', TURNING);
  expect(error?.code).toBe('release-taken-back');
  expect(await served()).toBe(before);
  expect(await state()).toBe('taken-back');
  expect(await atOnce('web', since)).toMatchObject({ most: 1 });
});

test('kill -9 of the runner while a release is taken back: the host goes on with it', async () => {
  const before = await served();
  let drains = 0;
  await release('worse', TURNING, (event) => {
    if (event.type !== 'release.drained') return;
    drains += 1;
    if (drains === 2) killRunners(NAME);
  });
  expect(drains).toBe(2);
  await expect.poll(state, { timeout: 60_000 }).toBe('taken-back');
  expect(await served()).toBe(before);
});

/** Who may be struck while requests wait. */
const STRIKES = {
  runner: async () => killRunners(NAME),
  dockerd: async () => {
    await says('systemctl kill --signal=KILL docker.service');
  },
  host: async () => {
    killRunners(NAME);
    await stop(NAME);
    sandbox = await start(NAME);
  },
} as const;

test.each<[keyof typeof STRIKES, 'held' | 'started']>([
  ['runner', 'started'],
  ['dockerd', 'held'],
  ['host', 'held'],
])('%s killed at `%s`: nobody has to do anything for requests to be answered again', async (who, at) => {
  const before = await served();
  const version = `${who}-at-${at}`;
  const visitors = stream();
  let struck: Promise<unknown> | undefined;
  await release(version, {}, (event) => {
    if (event.type === 'release.state' && event.state === at) struck ??= STRIKES[who]();
  }).catch(() => undefined);
  expect(struck).toBeDefined();
  await struck;
  await expect
    .poll(() => served().catch(() => ''), { timeout: 60_000 })
    .toMatch(new RegExp(`^(${before}|${version})$`));
  await expect.poll(state, { timeout: 60_000 }).toMatch(/^(?:rejected|done)$/);
  expect(await says(`ls ${FLAGS}/held`)).toMatch(/No such file/);
  const { lost } = await visitors.stop();
  if (who === 'host') host = await onHost({ ...sandbox, user: 'deploy' });
  else expect(lost).toEqual([]);
  const { error } = await release(`after-${version}`);
  expect(error?.message).toBeUndefined();
  expect(await served()).toBe(`after-${version}`);
});

/** What the workers of a service were started with, one line for each that runs. */
const generations = (service: string): Promise<string> =>
  says(
    `for id in $(docker ps -q --filter label=com.docker.compose.service=${service}); do docker exec $id printenv GENERATION; done`,
  );

test('workers overlap or run alone, as declared, and come back with their release', async () => {
  const running = async () => [await generations('queue'), await generations('mail')];
  const of = (generation: string) => ({ queue: { GENERATION: generation }, mail: { GENERATION: generation } });
  expect((await release('workers-1', { workers: of('1') })).error?.message).toBeUndefined();
  const since = await now();
  const second = await release('workers-2', { workers: of('2') });
  expect(second.error?.message).toBeUndefined();
  expect(await running()).toEqual(['2', '2\n2']);
  expect(await atOnce('queue', since)).toEqual({ started: 1, most: 1 });
  expect(await atOnce('mail', since, 2)).toEqual({ started: 2, most: 4 });

  const third = await release('workers-3', {
    workers: { ...of('3'), mail: { GENERATION: '3', DEMO_MODE: 'crash' } },
  });
  expect(third.error).toMatchObject({ code: 'workers-failed', exitCode: 1 });
  expect(third.error?.hint).toMatch(/The old ones go on/);
  expect(await running()).toEqual(['2', '2\n2']);

  const fourth = await release('workers-4', {
    workers: { ...of('4'), queue: { GENERATION: '4', DEMO_MODE: 'crash' } },
  });
  expect(fourth.error?.message).toMatch(/queue-1 crashed right after its start \(exit 1\)[\s\S]*Cannot go on/);
  expect(await served()).toBe('workers-4');
  expect(await state()).toBe('done');

  const [before] = second.events.flatMap((event) => (event.type === 'release.flipped' ? [event.release] : []));
  expect((await ask(host, rollbackRequest('shop', before))).error?.message).toBeUndefined();
  expect(await running()).toEqual(['2', '2\n2']);
});

test('Docker is told how to restart a container that ends at that very moment', async () => {
  const socket = (await laptopEngine(NAME)).replace('unix://', '');
  const engine: Pick<Host, 'docker'> = { docker: (path, options) => dockerRequest(path, { ...options, socket }) };
  for (let container = 0; container < 10; container += 1) {
    const ending = 'docker run --detach --entrypoint sh registry.sandbox.test/demo:v1 -c';
    const id = await says(`${ending} 'sleep 0.3; exit 1'`);
    // Told again and again until it has ended, it is told in the moment in which it does.
    while ((await engine.docker<Inspected>(`/containers/${id}/json`))?.State.Status === 'running') {
      await setRestart(engine, id, NO_RESTART);
    }
    await removeContainer(engine, id);
  }
});
