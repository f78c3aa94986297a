import { appendFileSync, mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { padding, TAR_END, tarHeader } from '#core/tar';
import type { ListedRelease } from '#protocol/release';
import { AUTHORITIES } from '#sandbox/places';
import { down, publishHostKeys, type SandboxHost, setRecord, up } from '#sandbox/sandbox';
import { readyInternet } from '#test/support/app-host';
import { browse } from '#test/support/browse';
import { deploy } from '#test/support/cli';
import { startDelayProxy } from '#test/support/delay-proxy';
import { laptopEngine, must } from '#test/support/laptop-engine';
import { makeProject } from '#test/support/project';

const NAME = 'e2e-images';
/** The host whose Docker plays the engine of the machine that deploys. */
const LAPTOP = 'e2e-images-laptop';
const DOMAIN = 'images.sandbox.test';
const STAGING = 'images-staging.sandbox.test';
/** Where the host is reached through something that can break. */
const FRAGILE = '127.0.10.206';
const REGISTRY = 'registry.sandbox.test';
/** A repository of this file's own, whose tag may move. */
const MOVING = `${REGISTRY}/e2e-images`;

const project = makeProject();
let host: SandboxHost;
let engine = '';

const deployHere = (...argv: string[]) =>
  deploy([...argv, '--project', project.folder], { env: { DOCKER_HOST: engine } });
const inside = (script: string) => must(NAME, script);
/** What was sent to the host for a release that has not come. */
const staged = async () => (await inside('ls /var/lib/slipway/images 2>/dev/null || true')).split('\n').filter(Boolean);

interface Variant {
  readonly service?: Readonly<Record<string, unknown>>;
  readonly release?: Readonly<Record<string, unknown>>;
  readonly address?: string;
  readonly staging?: true;
}

function declare(image: string, { service, release, address = host.address, staging }: Variant = {}): void {
  project.write(staging === undefined ? 'prod' : 'staging', {
    app: staging === undefined ? 'shop' : 'stage',
    hosts: { vps: { address, identityFile: host.keyFile, user: host.user } },
    services: {
      web: {
        image,
        environment: { DATABASE_URL: 'none', REDIS_URL: 'none' },
        healthcheck: { path: '/up' },
        ...service,
      },
    },
    routes: { [staging === undefined ? DOMAIN : STAGING]: 'web:3000' },
    release: { watch: '0s', drain: '2s', healthTimeout: '10s', ...release },
    certificates: { directory: 'https://acme.sandbox.test:14000/dir', ca: AUTHORITIES },
  });
}

const served = async (): Promise<string> => (await browse(host, DOMAIN, '/version')).body;

async function releases(): Promise<readonly ListedRelease[]> {
  const { events } = await deployHere('releases', 'prod', '--json');
  return events.flatMap((event) => (event.type === 'releases.listed' ? event.releases : []));
}

async function expectNoChange(): Promise<void> {
  const { code, stdout, stderr } = await deployHere('plan', 'prod', '--exit-code');
  expect(code, stdout + stderr).toBe(0);
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

/** Versions of the app on the laptop's engine: on the same base, of 8 MB in three layers, the last of which is its own. */
async function makeImages(): Promise<void> {
  engine = await laptopEngine(LAPTOP);
  await must(
    LAPTOP,
    `docker pull -q ${REGISTRY}/demo:v1; mkdir /build; cd /build
     for part in one two; do head -c 4000000 /dev/urandom > $part; done
     printf 'FROM ${REGISTRY}/demo:v1\nCOPY one /app/one\nCOPY two /app/two\n' | docker build -q -t acme/base:1 -f - .
     for version in local-1 local-2 local-3; do
       echo $version > VERSION; head -c 100000 /dev/urandom > blob
       printf 'FROM acme/base:1\nCOPY VERSION blob /app/\n' | docker build -q -t acme/shop:$version -f - .
     done`,
  );
}

beforeAll(async () => {
  await down([NAME]).catch(() => undefined);
  await down([LAPTOP]).catch(() => undefined);
  await readyInternet();
  host = await up({ name: NAME, aptCache: true, equipped: true });
  await up({ name: LAPTOP, aptCache: true, equipped: true });
  await publishHostKeys();
  await setRecord(DOMAIN, { a: [host.address], aaaa: [host.address6] });
  declare(`${REGISTRY}/demo:v1`);
  await setRecord(STAGING, { a: [host.address], aaaa: [host.address6] });
  const [brought] = await Promise.all([deployHere('up', 'prod'), makeImages()]);
  expect(brought.code, brought.stderr).toBe(0);
});

afterAll(async () => {
  await down([NAME]);
  await down([LAPTOP]);
});

test('a tag that has moved is another release, and the former one comes back with its image', async () => {
  await move('demo:v1');
  declare(`${MOVING}:latest`);
  expect((await deployHere('release', 'prod')).code).toBe(0);
  await move('demo:v2');
  // Nobody asks the registry whether anything is to be done.
  await expectNoChange();
  expect(await served()).toBe('v1');

  const moved = await deployHere('release', 'prod');
  expect(moved.code, moved.stderr).toBe(0);
  expect(await served()).toBe('v2');
  await expectNoChange();
  expect((await deployHere('release', 'prod')).stderr).toContain('no change');
  const [now, before] = await releases();
  expect(now).toMatchObject({ tag: 'latest', state: 'live', previous: before?.id });
  expect(before).toMatchObject({ tag: 'latest', state: 'warm' });
  expect(before?.services['web']).not.toBe(now?.services['web']);

  expect((await deployHere('rollback', 'prod')).code).toBe(0);
  expect(await served()).toBe('v1');
  await expectNoChange();
});

test('a registry that is gone stops no release whose image is on the host', async () => {
  // From here on the host has no registry at all.
  await inside(`echo 127.0.0.1 ${REGISTRY} >> /etc/hosts`);
  const released = await deployHere('release', 'prod');
  expect(released.code, released.stderr).toBe(0);
  expect(released.stderr).toMatch(/Whether .*e2e-images:latest has moved is not known/);
});

const LOCAL = { release: { images: 'local' } };

test('an archive that is damaged is told, and leaves nothing on the host', async () => {
  const whole = join(project.folder, 'whole.tar');
  await must(LAPTOP, 'docker save -o /build/whole.tar acme/shop:local-1');
  writeFileSync(whole, readFileSync(join(engine.replace(/^unix:\/\/|\/run\/docker\.sock$/g, ''), 'build/whole.tar')));
  declare('acme/shop:local-1');
  const release = (archive: string) => deployHere('release', 'prod', '--images', archive);

  const content = readFileSync(whole);
  const short = join(project.folder, 'short.tar');
  writeFileSync(short, content);
  truncateSync(short, content.length / 2);
  expect(await release(short)).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/ends in the middle[\s\S]*archive-inv/),
  });

  // The layer with the random bytes, which the host lacks: behind its tar header, since the image's history has the name too,
  // and which of both comes first is as random as their digests.
  const damaged = join(project.folder, 'damaged.tar');
  const at = content.indexOf('app/two\0') + 5000;
  content.writeUInt8(content.readUInt8(at) ^ 1, at);
  writeFileSync(damaged, content);
  expect(await release(damaged)).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/is damaged[\s\S]*archive-invalid/),
  });
  await expect.poll(staged, { timeout: 10_000 }).toEqual([]);

  expect((await release('nowhere.tar')).code).toBe(2);
  const foreign = join(project.folder, 'foreign.tar');
  writeFileSync(foreign, archiveFor('arm64'));
  expect(await release(foreign)).toMatchObject({ code: 4, stderr: expect.stringMatching(/is built for arm64/) });
  expect(await staged()).toEqual([]);
  expect(await served()).toBe('v2');
});

/** An image of one empty layer. */
function archiveFor(architecture: string): Buffer {
  // The digest of an empty tar archive.
  const layer = Buffer.alloc(1024);
  const diff = 'sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef';
  const config = JSON.stringify({ architecture, os: 'linux', rootfs: { type: 'layers', diff_ids: [diff] } });
  const manifest = JSON.stringify([{ Config: 'config.json', RepoTags: [], Layers: ['layer.tar'] }]);
  const files = { 'manifest.json': Buffer.from(manifest), 'config.json': Buffer.from(config), 'layer.tar': layer };
  const parts = Object.entries(files).map(([path, text]) =>
    Buffer.concat([tarHeader({ path, size: text.length }), text, padding(text.length)]),
  );
  return Buffer.concat([...parts, TAR_END]);
}

test('where the connection breaks, the same command sends what has not come', async () => {
  const door = await startDelayProxy({ host: host.address, port: 22, oneWay: 5, listen: { host: FRAGILE, port: 22 } });
  const web = await startDelayProxy({ host: host.address, port: 443, oneWay: 0, listen: { host: FRAGILE, port: 443 } });
  for (const key of host.knownHosts.split('\n')) {
    const [, ...rest] = key.split(' ');
    if (rest.length === 2)
      appendFileSync(join(project.folder, 'inventory', 'known_hosts'), `${FRAGILE} ${rest.join(' ')}\n`);
  }
  declare('acme/shop:local-1', { ...LOCAL, address: FRAGILE });
  const before = door.sent();
  const cut = setInterval(() => {
    if (door.sent() - before > 7_200_000) door.reset();
  }, 2);
  const broken = await deployHere('release', 'prod');
  clearInterval(cut);
  expect(broken.code, broken.stderr).not.toBe(0);
  expect(broken.stderr).toMatch(/\d\.\d MB in 3 parts/);
  await expect.poll(staged, { timeout: 10_000 }).toHaveLength(2);
  expect((await staged()).filter((name) => name.includes('part'))).toEqual([]);

  const again = await deployHere('release', 'prod');
  expect(again.code, again.stderr).toBe(0);
  expect(again.stderr).toMatch(/[34]\.\d MB in 2 parts/);
  expect(await served()).toBe('local-1');
  expect(await staged()).toEqual([]);
  await Promise.all([door.stop(), web.stop()]);
});

test('without any registry the host gets what it lacks, and the next release sends one layer', async () => {
  declare('acme/shop:local-1', LOCAL);
  await expectNoChange();
  const next = await deployHere('release', 'prod', '--tag', 'local-2');
  expect(next.code, next.stderr).toBe(0);
  expect(next.stderr).toMatch(/sending acme\/shop:local-2: \d+(?:\.\d)? kB in one part/);
  expect(await served()).toBe('local-2');
  const [live] = await releases();
  expect(live?.services['web']).toBe(await must(LAPTOP, "docker image inspect -f '{{.Id}}' acme/shop:local-2"));
  const back = await deployHere('rollback', 'prod');
  expect(back.code, back.stderr).toBe(0);
  expect(await served()).toBe('local-1');
  // The same name for another image.
  await must(LAPTOP, 'docker tag acme/shop:local-3 acme/shop:local-1');
  expect((await deployHere('plan', 'prod', '--exit-code')).code).toBe(3);
  expect((await deployHere('up', 'prod')).code).toBe(0);
  expect(await served()).toBe('local-3');
  declare('acme/shop:gone', LOCAL);
  expect(await deployHere('plan', 'prod')).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('image-not-local'),
  });
});

test('what came from no registry is promoted by whoever has it', async () => {
  declare('acme/shop:local-2', { ...LOCAL, staging: true });
  const brought = await deployHere('up', 'staging');
  expect(brought.code, brought.stderr).toBe(0);
  declare('acme/shop:local-1');
  const promoted = await deployHere('promote', 'staging', 'prod');
  expect(promoted.code, promoted.stderr).toBe(0);
  expect(await served()).toBe('local-2');
  await must(LAPTOP, 'docker rmi acme/shop:local-2');
  const refused = await deployHere('promote', 'staging', 'prod');
  expect(refused).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/is not on this machine[\s\S]*digest-unknown/),
  });
});

test('an image is built on the host when that is asked for, and a build that fails touches nothing', async () => {
  await inside(`grep -v ' ${REGISTRY}$' /etc/hosts > /root/hosts; cat /root/hosts > /etc/hosts`);
  const context = join(project.folder, 'context');
  mkdirSync(context);
  const dockerfile = (more = '') =>
    writeFileSync(
      join(context, 'Dockerfile'),
      `FROM ${REGISTRY}/demo:v1\nARG WHO\nCOPY . /context/\nUSER root\nRUN echo built-by-$WHO > /app/VERSION\n${more}USER node\n`,
    );
  dockerfile();
  writeFileSync(join(context, '.dockerignore'), 'secret*\n');
  writeFileSync(join(context, 'secret.txt'), 'not for the image');
  const service = { build: { context: 'context', args: { WHO: 'host' } } };
  declare('acme/shop:built', { service, release: { images: 'build' } });
  const built = await deployHere('release', 'prod');
  expect(built.code, built.stderr).toBe(0);
  expect(await served()).toBe('built-by-host');
  expect(await inside('docker exec $(docker ps -q --filter name=shop-.*-web-1 | head -1) ls /context')).toBe(
    'Dockerfile',
  );
  await expectNoChange();

  dockerfile('RUN echo so far; exit 7\n');
  const failed = await deployHere('release', 'prod');
  expect(failed).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/so far[\s\S]*code: 7[\s\S]*image-build-failed/),
  });
  expect(await served()).toBe('built-by-host');
});
