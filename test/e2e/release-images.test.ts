import { readFileSync } from 'node:fs';
import { request } from 'node:https';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ListedRelease } from '#protocol/release';
import { ensureImages } from '#sandbox/images/images';
import { AUTHORITIES } from '#sandbox/places';
import {
  down,
  internet,
  publishAuthorities,
  publishHostKeys,
  run as runInside,
  type SandboxHost,
  setRecord,
  up,
} from '#sandbox/sandbox';
import { deploy } from '#test/support/cli';
import { makeProject } from '#test/support/project';

const NAME = 'e2e-images';
const DOMAIN = 'images.sandbox.test';
const REGISTRY = 'registry.sandbox.test';
/** A repository of this file's own, whose tag may move. */
const MOVING = `${REGISTRY}/e2e-images`;

const project = makeProject();
let host: SandboxHost;

const deployHere = (...argv: string[]) => deploy([...argv, '--project', project.folder]);
const inside = async (script: string) => (await runInside(NAME, ['sh', '-ec', script])).stdout.trim();

function declare(image: string, more: Readonly<Record<string, unknown>> = {}): void {
  const { release, service } = more as Record<string, Readonly<Record<string, unknown>> | undefined>;
  project.write('prod', {
    app: 'shop',
    hosts: { vps: { address: host.address, identityFile: host.keyFile, user: host.user } },
    services: {
      web: {
        image,
        environment: { DATABASE_URL: 'none', REDIS_URL: 'none' },
        healthcheck: { path: '/up' },
        ...service,
      },
    },
    routes: { [DOMAIN]: 'web:3000' },
    release: { watch: '0s', drain: '2s', healthTimeout: '10s', ...release },
    certificates: { directory: 'https://acme.sandbox.test:14000/dir', ca: AUTHORITIES },
  });
}

async function served(): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { host: host.address, servername: DOMAIN, headers: { host: DOMAIN }, agent: false } as const;
    const question = request({ ...options, path: '/version', ca: readFileSync(AUTHORITIES) }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        body += chunk;
      });
      response.once('end', () => resolve(body.trim()));
    });
    question.once('error', reject);
    question.end();
  });
}

async function releases(): Promise<readonly ListedRelease[]> {
  const { events } = await deployHere('releases', 'prod', '--json');
  return events.flatMap((event) => (event.type === 'releases.listed' ? event.releases : []));
}

/** Has the tag of the repository stand for another image of the registry, without leaving it on the host. */
async function move(image: string): Promise<void> {
  await inside(
    `docker pull -q ${REGISTRY}/${image}; docker tag ${REGISTRY}/${image} ${MOVING}:moved-here
     here=$(docker image inspect -f '{{.Id}}' ${MOVING}:latest 2>/dev/null || true)
     docker tag ${MOVING}:moved-here ${MOVING}:latest; docker push -q ${MOVING}:latest
     docker rmi ${MOVING}:moved-here ${MOVING}:latest
     if [ -n "$here" ]; then docker tag "$here" ${MOVING}:latest; fi`,
  );
}

beforeAll(async () => {
  await down([NAME]).catch(() => undefined);
  const there = await internet();
  const ca = readFileSync(there.caFile, 'utf8');
  await ensureImages({ registry: there.registry, address: there.address, ca, names: ['demo:v1', 'demo:v2'] });
  await publishAuthorities();
  host = await up({ name: NAME, aptCache: true });
  await publishHostKeys();
  await setRecord(DOMAIN, { a: [host.address], aaaa: [host.address6] });
  declare(`${REGISTRY}/demo:v1`);
  const brought = await deployHere('up', 'prod');
  expect(brought.code, brought.stderr).toBe(0);
});

afterAll(async () => {
  await down([NAME]);
});

test('a tag that has moved is another release, and the former one comes back with its image', async () => {
  await move('demo:v1');
  declare(`${MOVING}:latest`);
  expect((await deployHere('release', 'prod')).code).toBe(0);
  await move('demo:v2');
  // Nobody asks the registry whether anything is to be done.
  expect((await deployHere('plan', 'prod', '--exit-code')).code).toBe(0);
  expect(await served()).toBe('v1');

  const moved = await deployHere('release', 'prod');
  expect(moved.code, moved.stderr).toBe(0);
  expect(await served()).toBe('v2');
  expect((await deployHere('plan', 'prod', '--exit-code')).code).toBe(0);
  expect((await deployHere('release', 'prod')).stderr).toContain('no change');
  const [now, before] = await releases();
  expect(now).toMatchObject({ tag: 'latest', state: 'live', previous: before?.id });
  expect(before).toMatchObject({ tag: 'latest', state: 'warm' });
  expect(before?.services['web']).not.toBe(now?.services['web']);

  expect((await deployHere('rollback', 'prod')).code).toBe(0);
  expect(await served()).toBe('v1');
  expect((await deployHere('plan', 'prod', '--exit-code')).code).toBe(0);
});

test('a registry that is gone stops no release whose image is on the host', async () => {
  await inside(`echo 127.0.0.1 ${REGISTRY} >> /etc/hosts`);
  const released = await deployHere('release', 'prod');
  await inside(
    `sed -i '/ ${REGISTRY}$/d' /etc/hosts || { grep -v ' ${REGISTRY}$' /etc/hosts > /tmp/hosts; cat /tmp/hosts > /etc/hosts; }`,
  );
  expect(released.code, released.stderr).toBe(0);
  expect(released.stderr).toMatch(/Whether .*e2e-images:latest has moved is not known/);
});
