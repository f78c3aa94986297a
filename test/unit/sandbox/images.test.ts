import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { renderPage } from '#sandbox/demo-app/page';
import { readSettings } from '#sandbox/demo-app/settings';
import { busybox } from '#sandbox/images/busybox';
import { demo } from '#sandbox/images/demo';
import { assemble } from '#sandbox/images/image';
import { IMAGE_NAMES } from '#sandbox/images/images';
import { recipeKey } from '#sandbox/images/layer';
import { filesLayer } from '#sandbox/images/layers';
import { pgbouncer } from '#sandbox/images/pgbouncer';
import { postgres } from '#sandbox/images/postgres';
import { POSTGRES_ENTRYPOINT } from '#sandbox/images/postgres-entrypoint';
import { REDIS_ENTRYPOINT, redis } from '#sandbox/images/redis';

const packed = [{ digest: 'sha256:aa', diffId: 'sha256:bb', size: 7 }];

function runSettings(image: Parameters<typeof assemble>[0]): Record<string, unknown> {
  return (JSON.parse(assemble(image, packed).config.content.toString()) as { config: Record<string, unknown> }).config;
}

test('every image has a name and a tag', () => {
  for (const name of IMAGE_NAMES) expect(name).toMatch(/^[a-z]+:[a-z0-9]+$/);
});

test('a recipe has another key as soon as anything in it differs', () => {
  const file = (content: string, mode: number) => filesLayer('x', { a: { content: Buffer.from(content), mode } }).key;
  expect(file('a', 0o644)).toBe(file('a', 0o644));
  expect(new Set([file('a', 0o644), file('b', 0o644), file('a', 0o755), recipeKey({})]).size).toBe(4);
});

test('an image is the same document each time, and says how its containers run', () => {
  const { config, manifest } = assemble(busybox, packed);
  expect(assemble(busybox, packed).manifest.digest).toBe(manifest.digest);
  expect(JSON.parse(manifest.content.toString())).toMatchObject({
    schemaVersion: 2,
    config: { digest: config.digest, size: config.content.length },
    layers: [{ digest: 'sha256:aa', size: 7 }],
  });
  expect(JSON.parse(config.content.toString())).toMatchObject({ os: 'linux', rootfs: { diff_ids: ['sha256:bb'] } });
});

test('the images are started as the official ones are', () => {
  expect(runSettings(postgres)).toMatchObject({
    Cmd: ['postgres'],
    StopSignal: 'SIGINT',
    Volumes: { '/var/lib/postgresql/data': {} },
    ExposedPorts: { '5432/tcp': {} },
  });
  expect(runSettings(redis)).toMatchObject({ Cmd: ['redis-server'], WorkingDir: '/data', Volumes: { '/data': {} } });
  expect(runSettings(pgbouncer)).toMatchObject({
    User: 'postgres',
    Cmd: ['/usr/bin/pgbouncer', '/etc/pgbouncer/pgbouncer.ini'],
  });
  for (const image of [postgres, redis, pgbouncer, busybox]) {
    const { Env } = runSettings(image) as { Env: string[] };
    expect(Env.filter((entry) => entry.startsWith('PATH='))).toHaveLength(1);
  }
});

test('releases of the demo app share all layers but the last', async () => {
  const [one, two, crash] = await Promise.all([
    demo({ version: 'v1' }),
    demo({ version: 'v2' }),
    demo({ version: 'crash', mode: 'crash' }),
  ]);
  expect(one.layers.slice(0, -1)).toEqual(two.layers.slice(0, -1));
  expect(one.layers.at(-1)?.key).not.toBe(two.layers.at(-1)?.key);
  expect(crash.run.Env).toContain('DEMO_MODE=crash');
});

test('the entry points are valid for the shells that run them', () => {
  execFileSync('bash', ['-n'], { input: POSTGRES_ENTRYPOINT });
  execFileSync('sh', ['-n'], { input: REDIS_ENTRYPOINT });
});

test('the page shows what it counted, escapes what it is told, and says what is down', () => {
  const settings = readSettings({ VERSION: '<v3>', SLOT: 'blue' });
  const well = renderPage(
    settings,
    [
      { name: 'PostgreSQL', value: 1234 },
      { name: 'Redis', value: 5 },
    ],
    3700,
  );
  expect(well).toContain('1,234');
  expect(well).toContain('&lt;v3&gt;');
  expect(well).not.toContain('<v3>');
  expect(well).toContain('1 h 1 min');
  expect(well).toContain('blue');
  expect(well).not.toMatch(/https?:\/\//);
  const ill = renderPage(settings, [{ name: 'Redis', problem: 'gone & away' }], 0);
  expect(ill).toContain('gone &amp; away');
  expect(ill).toContain('not all of it');
});

test('an empty variable counts as none', () => {
  expect(readSettings({ PORT: '', DATABASE_URL: '', REDIS_URL: 'redis://r', DEMO_MODE: 'nonsense' })).toMatchObject({
    port: 3000,
    databaseUrl: undefined,
    redisUrl: 'redis://r',
    mode: undefined,
  });
});
