import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ensureImages } from '#sandbox/images/images';
import { AUTHORITIES } from '#sandbox/places';
import { down, internet, publishAuthorities, publishHostKeys, type SandboxHost, setRecord, up } from '#sandbox/sandbox';
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

function declare(version: 'v1' | 'v2'): void {
  const environment = { DATABASE_URL: 'none', REDIS_URL: 'none', DEMO_BOOT_MS: String(BOOT) };
  project.write('prod', {
    app: 'shop',
    hosts: { vps: { address: host.address, identityFile: host.keyFile, user: host.user } },
    services: { web: { image: images[version], healthcheck: { path: '/up' }, environment } },
    routes: { [DOMAIN]: 'web:3000' },
    // Short, so that the old slot is stopped while its WebSockets are still open.
    release: { watch: '2s', drain: '3s', warm: '4s' },
    certificates: { directory: 'https://acme.sandbox.test:14000/dir', ca: AUTHORITIES },
  });
}

async function bring(version: 'v1' | 'v2'): Promise<void> {
  declare(version);
  const run = await deploy(['up', 'prod', '--project', project.folder]);
  expect(run.code, run.stderr + run.stdout.slice(-2000)).toBe(0);
}

/** What every request comes to that is sent to a port while something is done. */
async function underLoad(port: number, work: () => Promise<void>): Promise<LoadReport> {
  const proxy = await startDelayProxy({ host: host.address, port, oneWay: ONE_WAY });
  try {
    const target = { address: '127.0.0.1', port: proxy.port, domain: DOMAIN, ca: readFileSync(AUTHORITIES, 'utf8') };
    const load = await startLoad(target, RATE);
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
  const { registry, address, caFile } = await internet();
  const names = ['demo:v1', 'demo:v2'] as const;
  const published = await ensureImages({ registry, address, ca: readFileSync(caFile, 'utf8'), names });
  for (const name of names) images[name.slice(5)] = `${published[name].reference}@${published[name].digest}`;
  await publishAuthorities();
  host = await up({ name: NAME, aptCache: true });
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
