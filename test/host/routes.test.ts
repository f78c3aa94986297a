import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { Agent } from 'node:https';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from 'node:tls';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { AUTHORITIES } from '#sandbox/places';
import { down, run as runInside, type SandboxHost } from '#sandbox/sandbox';
import { appHost } from '#test/support/app-host';
import { browse } from '#test/support/browse';
import { deploy } from '#test/support/cli';
import { type OnHost, onHost } from '#test/support/converge';
import { makeProject } from '#test/support/project';
import { type Asked, ask, releaseRequest, rollbackRequest } from '#test/support/release';
import { killRunners } from '#test/support/runners';

const NAME = 'routes';
const DOMAIN = 'routes.sandbox.test';

const project = makeProject();
let sandbox: SandboxHost;
let host: OnHost;

interface Variant {
  /** The port that `web` listens on; `site` listens on 3000. */
  readonly port?: number;
  readonly routes: Readonly<Record<string, string>>;
  readonly service?: Readonly<Record<string, unknown>>;
  readonly environment?: Readonly<Record<string, string>>;
  readonly release?: Readonly<Record<string, unknown>>;
  readonly proxy?: Readonly<Record<string, unknown>>;
}

function declare(name: string, { port = 3000, routes, service, environment, release, proxy }: Variant): void {
  const demo = { image: 'registry.sandbox.test/demo:v1', healthcheck: { path: '/up' } };
  const without = { DATABASE_URL: 'none', REDIS_URL: 'none' };
  project.write(name, {
    app: 'shop',
    hosts: { vps: { address: sandbox.address, identityFile: sandbox.keyFile, user: sandbox.user } },
    services: {
      web: {
        ...demo,
        environment: { ...without, PORT: String(port), VERSION: `web-${port}`, ...environment },
        ...service,
      },
      site: { ...demo, environment: { ...without, VERSION: 'site' } },
    },
    routes: { [DOMAIN]: Object.entries(routes).map(([path, to]) => ({ path, to })) },
    release: { healthTimeout: '5s', watch: '0s', drain: '2s', ...release },
    certificates: { directory: 'https://acme.sandbox.test:14000/dir', ca: AUTHORITIES },
    ...(proxy === undefined ? {} : { proxy }),
  });
}

async function release(variant: Variant): Promise<Asked> {
  declare('try', variant);
  return ask(host, await releaseRequest(host, project, 'try'));
}

interface Answer {
  readonly status: number;
  readonly body: string;
}

async function get(path: string, options: { readonly agent?: Agent; readonly body?: string } = {}): Promise<Answer> {
  const { status, body } = await browse(sandbox, DOMAIN, path, { timeout: 20_000, ...options });
  return { status, body };
}

/** What became of the requests to one path. */
interface Seen {
  readonly lost: string[];
  /** Each answer once, in the order in which it first came. */
  readonly answers: string[];
  /** Connections that nginx's own reload has closed while a request went out: known, and no release's doing. */
  resets: number;
  sent: number;
}

/** Asks for all paths over and over, each time over a new connection, and posts over kept ones. */
function stream(paths: readonly string[]): { stop(): Promise<Readonly<Record<string, Seen>>> } {
  const agent = new Agent({ keepAlive: true, maxSockets: 4 });
  let isOver = false;
  const seen: Record<string, Seen> = {};
  const loop = async (name: string, send: () => Promise<Answer>) => {
    const one: Seen = { lost: [], answers: [], resets: 0, sent: 0 };
    seen[name] = one;
    const kept = name === 'POST /echo';
    while (!isOver) {
      one.sent += 1;
      try {
        const { status, body } = await send();
        const answer = status === 200 ? body : String(status);
        if (status >= 500) one.lost.push(answer);
        if (!one.answers.includes(answer)) one.answers.push(answer);
      } catch (error) {
        if (kept && (error as NodeJS.ErrnoException).code === 'ECONNRESET') one.resets += 1;
        else one.lost.push((error as Error).message);
      }
      await sleep(5);
    }
  };
  const loops = [
    ...paths.map((path) => loop(path, () => get(path))),
    loop('POST /echo', () => get('/echo', { agent, body: 'echoed' })),
  ];
  return {
    async stop() {
      isOver = true;
      await Promise.all(loops);
      agent.destroy();
      return seen;
    },
  };
}

/** What a script prints on the host, without the line break at its end. */
const says = async (script: string): Promise<string> =>
  (await runInside(NAME, ['sh', '-c', `{ ${script}; } 2>&1`])).stdout.trimEnd();

/** The workers of nginx, by their process ids. */
const workers = (): Promise<string> => says('pgrep --parent $(systemctl show --property=MainPID --value nginx) | sort');

const PLAIN: Variant = { routes: { '/': 'web:3000', '/slow': 'site:3000' } };

/** Does something under a steady stream of requests, of which none may be lost. */
async function under(paths: readonly string[], act: () => Promise<Asked>): Promise<Readonly<Record<string, Seen>>> {
  const requests = stream(paths);
  const asked = await act();
  await sleep(300);
  const seen = await requests.stop();
  for (const [name, { lost, sent }] of Object.entries(seen)) {
    expect(lost, `${name} of ${sent}`).toEqual([]);
    expect(sent, name).toBeGreaterThan(10);
  }
  expect(seen['POST /echo']?.answers).toEqual(['echoed']);
  expect(asked.error?.message).toBeUndefined();
  return seen;
}

beforeAll(async () => {
  sandbox = await appHost(NAME, DOMAIN);
  declare('prod', PLAIN);
  const brought = await deploy(['up', 'prod', '--project', project.folder]);
  expect(brought.code, brought.stderr).toBe(0);
  host = await onHost({ ...sandbox, user: 'deploy' });
});

afterAll(async () => {
  await host?.[Symbol.asyncDispose]();
  await down([NAME]);
});

/** What the inventory of the last release would still change on the host. */
async function planned(): Promise<string> {
  const { code, stdout, stderr } = await deploy(['plan', 'try', '--exit-code', '--project', project.folder]);
  return code === 0 ? '' : `${stdout}${stderr}`;
}

test('a release with the same routes leaves nginx alone', async () => {
  const before = await workers();
  expect(before).not.toBe('');
  for (const attempt of ['1', '2']) {
    expect((await release({ ...PLAIN, environment: { ATTEMPT: attempt } })).error?.message).toBeUndefined();
  }
  expect((await ask(host, rollbackRequest('shop'))).error).toBeUndefined();
  expect(await workers()).toBe(before);
});

const MOVED: Variant = { port: 4000, routes: { '/': 'web:4000', '/slow': 'site:3000' } };

test('a release that changes a port loses no request, and neither does the way back', async () => {
  const there = await under(['/version'], () => release(MOVED));
  expect(there['/version']?.answers).toEqual(['web-3000', 'web-4000']);
  expect(await planned()).toBe('');
  const after = await workers();
  const back = await under(['/version'], () => ask(host, rollbackRequest('shop')));
  expect(back['/version']?.answers).toEqual(['web-4000', 'web-3000']);
  const again = await under(['/version'], () => release({ ...MOVED, environment: { ATTEMPT: 'again' } }));
  expect(again['/version']?.answers).toEqual(['web-3000', 'web-4000']);
  // nginx knows both by now.
  expect(await workers()).toBe(after);
});

test('paths that move to another service, come and go lose no request', async () => {
  expect((await release(PLAIN)).error?.message).toBeUndefined();
  const [echo, version, slow] = ['/echo', '/version', '/slow?ms=1'];
  const other: Variant = { port: 4000, routes: { '/version': 'site:3000', '/slow': 'web:4000', '/echo': 'web:4000' } };
  const there = await under([version, slow, '/nope'], () => release(other));
  expect(there[version]?.answers).toEqual(['web-3000', 'site']);
  expect(there[slow]?.answers).toEqual(['site after 1 ms', 'web-4000 after 1 ms']);
  expect((await get('/')).status).toBe(404);
  expect((await get(echo)).status).toBe(405);
  expect(await planned()).toBe('');
  const back = await under([version, slow], () => ask(host, rollbackRequest('shop')));
  expect(back[version]?.answers).toEqual(['site', 'web-3000']);
  expect(back[slow]?.answers).toEqual(['web-4000 after 1 ms', 'site after 1 ms']);
});

test('a release that is taken back leaves the routes of the one before', async () => {
  expect((await release(PLAIN)).error?.message).toBeUndefined();
  declare('try', { port: 5000, routes: { '/': 'web:5000', '/slow': 'site:3000' }, release: { watch: '30s' } });
  const request = await releaseRequest(host, project, 'try');
  let code: string | undefined;
  const seen = await under(['/version'], async () => {
    const asked = await ask(host, request, (event, meanwhile) => {
      if (event.type === 'release.flipped') void sleep(200).then(() => meanwhile.say('abort'));
    });
    code = asked.error?.code;
    return { events: asked.events, error: undefined };
  });
  expect(code).toBe('release-taken-back');
  expect(seen['/version']?.answers).toEqual(['web-3000', 'web-5000']);
  expect((await get('/version')).body).toBe('web-3000');
});

test('what cannot run twice changes its port while its requests wait, and goes back where that fails', async () => {
  const service = { deploy: { update_config: { order: 'stop-first' } } };
  const slower = { healthTimeout: '20s' };
  expect((await release({ ...PLAIN, service, release: slower })).error?.message).toBeUndefined();
  const there = await under(['/version'], () => release({ ...MOVED, service, release: slower }));
  expect(there['/version']?.answers).toEqual(['web-3000', 'web-4000']);
  const crashing = {
    port: 5000,
    routes: { '/': 'web:5000', '/slow': 'site:3000' },
    environment: { DEMO_MODE: 'crash' },
  };
  let code: string | undefined;
  const back = await under(['/version'], async () => {
    const asked = await release({ ...crashing, service, release: slower });
    code = asked.error?.code;
    return { events: asked.events, error: undefined };
  });
  expect(code).toBe('release-rejected');
  expect(back['/version']?.answers).toEqual(['web-4000']);
});

/** Opens a connection and sends its only request later. */
async function preconnect(path: string): Promise<() => Promise<string>> {
  const socket = connect({ host: sandbox.address, port: 443, servername: DOMAIN, ca: readFileSync(AUTHORITIES) });
  await once(socket, 'secureConnect');
  return async () => {
    // No end of our own: to nginx that is a client that has left.
    socket.write(`GET ${path} HTTP/1.1\r\nHost: ${DOMAIN}\r\nConnection: close\r\n\r\n`);
    return text(socket);
  };
}

test('a connection from before the reload that asks after the flip is answered by the slot it knows', async () => {
  expect((await release(PLAIN)).error?.message).toBeUndefined();
  declare('try', { port: 6000, routes: { '/': 'web:6000', '/slow': 'site:3000' } });
  const request = await releaseRequest(host, project, 'try');
  let opened: Promise<() => Promise<string>> | undefined;
  let answered: Promise<string> | undefined;
  const { error } = await ask(host, request, (event) => {
    if (event.type === 'release.state' && event.state === 'commanded') opened = preconnect('/version');
    if (event.type === 'release.flipped') answered = opened?.then((send) => send());
  });
  expect(error?.message).toBeUndefined();
  expect(await answered).toMatch(/^HTTP\/1\.1 200[\s\S]*web-3000/);
  expect((await get('/version')).body).toBe('web-6000');
});

test.each([60, 180])('a runner killed %i ms into bringing the routes leaves nothing behind', async (after) => {
  const before = await get('/version');
  const port = 7000 + after;
  const routes = { '/': `web:${port}`, '/slow': 'site:3000' };
  declare('try', { port, routes });
  const request = await releaseRequest(host, project, 'try');
  const requests = stream(['/version']);
  await ask(host, request, (event) => {
    if (event.type === 'progress' && /bringing the routes/.test(event.message)) {
      void sleep(after).then(() => killRunners(NAME));
    }
  });
  expect(await get('/version')).toEqual(before);
  expect((await ask(host, request)).error?.message).toBeUndefined();
  expect((await requests.stop())['/version']?.lost).toEqual([]);
  expect((await get('/version')).body).toBe(`web-${port}`);
  expect(await planned()).toBe('');
});

test('`up` brings routes beside what else of the proxy is declared otherwise, and mends what somebody else wrote', async () => {
  expect((await release(PLAIN)).error?.message).toBeUndefined();
  await says('echo "# mine" >> /etc/nginx/conf.d/slipway-shop-routes.conf');
  expect(await planned()).toMatch(/routes/);
  declare('try', { ...MOVED, environment: { ATTEMPT: 'up' }, proxy: { clientMaxBodySize: '3mb' } });
  const seen = await under(['/version'], async () => {
    const { code, stderr } = await deploy(['up', 'try', '--project', project.folder]);
    expect(code, stderr).toBe(0);
    return { events: [], error: undefined };
  });
  expect(seen['/version']?.answers).toEqual(['web-3000', 'web-4000']);
  expect(await planned()).toBe('');
  expect(await says('grep -c "# mine" /etc/nginx/conf.d/slipway-shop-routes.conf')).toBe('0');
});
