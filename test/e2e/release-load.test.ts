import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { request } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import { build } from 'esbuild';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { setCanary } from '#release/flags';
import { AUTHORITIES } from '#sandbox/places';
import { down, publishHostKeys, run, type SandboxHost, setRecord, up } from '#sandbox/sandbox';
import { readyInternet } from '#test/support/app-host';
import { deploy } from '#test/support/cli';
import { startDelayProxy } from '#test/support/delay-proxy';
import { startLoad } from '#test/support/load';
import { control } from '#test/support/load-controls';
import { KINDS, type LoadReport } from '#test/support/load-record';
import { makeProject } from '#test/support/project';

const NAME = 'e2e-load';
const DOMAIN = 'load.sandbox.test';

/** Requests a second: enough for ten clients that keep their connection with seven a second each. */
const RATE = 100;
/** Milliseconds each way: on a shorter line nobody meets a connection that is being closed. */
const ONE_WAY = 50;
/** Milliseconds the app takes to boot. */
const BOOT = 500;

const project = makeProject();
const images: Record<string, string> = {};
let host: SandboxHost;

type Order = 'start-first' | 'stop-first';

function declare(version: 'v1' | 'v2', warm: string, order: Order): void {
  const environment = { DATABASE_URL: 'none', REDIS_URL: 'none', DEMO_BOOT_MS: String(BOOT), WARM: warm };
  project.write('prod', {
    app: 'shop',
    hosts: { vps: { address: host.address, identityFile: host.keyFile, user: host.user } },
    services: {
      web: {
        image: images[version],
        healthcheck: { path: '/up' },
        environment,
        deploy: { update_config: { order } },
      },
    },
    routes: { [DOMAIN]: 'web:3000' },
    // Short, so that the old slot is stopped while its WebSockets are still open.
    release: { watch: '2s', drain: '3s', warm },
    certificates: { directory: 'https://acme.sandbox.test:14000/dir', ca: AUTHORITIES },
  });
}

async function bring(version: 'v1' | 'v2', warm = '4s', order: Order = 'start-first'): Promise<void> {
  declare(version, warm, order);
  const brought = await deploy(['up', 'prod', '--project', project.folder]);
  expect(brought.code, brought.stderr + brought.stdout.slice(-2000)).toBe(0);
}

/** What every request comes to that is sent to a port while something is done. */
async function underLoad(port: number, work: () => Promise<void>): Promise<LoadReport> {
  const proxy = await startDelayProxy({ host: host.address, port, oneWay: ONE_WAY });
  try {
    const target = { address: '127.0.0.1', port: proxy.port, domain: DOMAIN, ca: readFileSync(AUTHORITIES, 'utf8') };
    await using load = await startLoad(target, RATE);
    await sleep(3000);
    await work();
    await sleep(2000);
    return (await load.stop()).report;
  } finally {
    await proxy.stop();
  }
}

beforeAll(async () => {
  await down([NAME]).catch(() => undefined);
  const published = await readyInternet();
  for (const name of ['demo:v1', 'demo:v2'] as const) {
    images[name.slice(5)] = `${published[name].reference}@${published[name].digest}`;
  }
  host = await up({ name: NAME, aptCache: true, equipped: true });
  await publishHostKeys();
  await setRecord(DOMAIN, { a: [host.address], aaaa: [host.address6] });
  await bring('v1');
});

afterAll(async () => {
  await down([NAME]);
});

test('a release and its way back fail no request of any kind', async () => {
  const report = await underLoad(443, async () => {
    await bring('v2');
    await bring('v1');
    await sleep(8000);
  });
  expect(report).toMatchObject({ failed: 0, turnedAway: 0, causes: {} });
  for (const kind of KINDS) expect(report.kinds[kind]?.sent, kind).toBeGreaterThan(0);
  expect(Object.keys(report.tags).sort()).toEqual(['v1', 'v2']);
  expect(report.answered).toBe(report.sent);
});

test('the same load sees what a reload of nginx in a blue/green by hand loses', async () => {
  const peer = await control('reload', { host, domain: DOMAIN, boot: BOOT }, images['v1'] ?? '');
  const report = await underLoad(peer.port, () => peer.deploy(images['v2'] ?? ''));
  expect(report.failed).toBeGreaterThan(0);
  expect(Object.keys(report.tags).sort()).toEqual(['v1', 'v2']);
});

interface HostSide {
  readonly setCanary: typeof setCanary;
}

/** Has the host's own code do something there, as an operation would. */
async function onHost(call: `${keyof HostSide}(${string})`): Promise<void> {
  const contents = "export * from './src/release/flags.ts';";
  const bundle = await build({
    ...{ stdin: { contents, resolveDir: process.cwd() }, bundle: true, write: false },
    ...{ platform: 'node', format: 'cjs', logLevel: 'error' },
  });
  const input = `${bundle.outputFiles[0]?.text}
void module.exports.${call};`;
  const output = await run(NAME, ['/opt/slipway/current/node', '--input-type=commonjs', '-'], { input });
  expect(output.stderr).toBe('');
}

interface Got {
  readonly status: number;
  readonly tag: string | undefined;
  readonly cookies: readonly string[];
}

function get(path: string, cookie?: string): Promise<Got> {
  return new Promise((resolve, reject) => {
    const headers = { host: DOMAIN, ...(cookie === undefined ? {} : { cookie }) };
    const trust = { servername: DOMAIN, ca: readFileSync(AUTHORITIES) };
    const question = request({ host: host.address, path, headers, agent: false, ...trust }, (response) => {
      const tag = response.headers['x-demo-version'];
      const cookies = (response.headers['set-cookie'] ?? []).map((text) => text.split(';')[0] ?? '');
      response.resume().once('end', () => {
        resolve({ status: response.statusCode ?? 0, tag: typeof tag === 'string' ? tag : undefined, cookies });
      });
    });
    question.once('error', reject);
    question.end();
  });
}

test('a canary gets its share of clients and keeps them, and either release finds its files, under load', async () => {
  await bring('v2', '5m');
  const live = (await run(NAME, ['test', '-e', '/var/lib/slipway/slots/shop/green'])).exitCode === 0 ? 'green' : 'blue';
  const report = await underLoad(443, async () => {
    expect((await get('/version')).cookies).toEqual([]);
    await onHost(`setCanary('shop', '${live}', 50)`);
    const clients = await Promise.all(Array.from({ length: 30 }, () => get('/version')));
    for (const { tag, cookies } of clients) {
      expect(['v1', 'v2']).toContain(tag);
      expect(cookies).toHaveLength(1);
      expect(await get('/version', cookies[0])).toMatchObject({ tag, cookies: [] });
    }
    await onHost(`setCanary('shop', '${live}', 100)`);
    for (const { cookies } of clients) expect((await get('/version', cookies[0])).tag).toBe('v1');
    await onHost(`setCanary('shop', '${live}', 0)`);
    for (const { cookies } of clients)
      expect(await get('/version', cookies[0])).toMatchObject({ tag: 'v2', cookies: [] });
  });
  expect(report).toMatchObject({ failed: 0, turnedAway: 0, causes: {} });
  expect(Object.keys(report.tags).sort()).toEqual(['v1', 'v2']);

  // Only one of the two has each of these.
  for (const version of ['v1', 'v2']) {
    const hash = createHash('sha256').update(version).digest('hex').slice(0, 10);
    expect(await get(`/assets/app-${hash}.js`)).toMatchObject({ status: 200, tag: version });
  }
  expect(await get('/assets/app-0123456789.js')).toMatchObject({ status: 404 });
});

test('what cannot run twice is swapped while its requests are held', async () => {
  // That it is so is a matter of the routes, whose change reloads nginx.
  await bring('v1', '5m', 'stop-first');
  const report = await underLoad(443, async () => {
    await bring('v2', '4s', 'stop-first');
    await sleep(5000);
  });
  expect(report).toMatchObject({ failed: 0, turnedAway: 0, causes: {} });
  expect(Object.keys(report.tags).sort()).toEqual(['v1', 'v2']);
});
