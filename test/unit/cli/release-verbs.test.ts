import { expect, test } from 'vitest';
import { imagesTagged, withImages } from '#cli/images';
import { measured, quantile } from '#cli/measure';
import { paintFor } from '#cli/paint';
import { promotedImages } from '#cli/promoted-images';
import { statusText } from '#cli/status-text';
import { tunnelTarget } from '#cli/tunnel-target';
import { repositoryOf } from '#core/image-name';
import type { Environment } from '#inventory/environment';
import type { Event } from '#protocol/event';
import type { ListedRelease } from '#protocol/release';

const service = (name: string, image: string) => ({ name, image });
const environment = {
  name: 'prod',
  app: 'shop',
  services: {
    web: service('web', 'ghcr.io:5000/acme/shop:v1'),
    worker: service('worker', 'ghcr.io:5000/acme/shop:v1'),
    search: service('search', 'getmeili/meilisearch:v1.12'),
  },
  routes: [{ domain: 'shop.example.com', paths: [{ path: '/', service: 'web', port: 3000 }] }],
  accessories: {
    postgres: { type: 'postgres', name: 'postgres', pgbouncer: { name: 'pgbouncer' } },
    redis: { type: 'redis', name: 'redis' },
  },
} as unknown as Environment;

test('a repository is what stands before tag and digest, whatever port its registry has', () => {
  expect(repositoryOf('localhost:5000/shop')).toBe('localhost:5000/shop');
  expect(repositoryOf('localhost:5000/shop:v1@sha256:ab')).toBe('localhost:5000/shop');
  expect(repositoryOf('shop:v1')).toBe('shop');
});

test("a tag goes to the app's own images and to no others", () => {
  const images = imagesTagged(environment, 'v42');
  expect(images).toEqual({ web: 'ghcr.io:5000/acme/shop:v42', worker: 'ghcr.io:5000/acme/shop:v42' });
  expect(withImages(environment, images).services['search']?.image).toBe('getmeili/meilisearch:v1.12');
  const digest = `sha256:${'a'.repeat(64)}`;
  expect(imagesTagged(environment, digest)['web']).toBe(`ghcr.io:5000/acme/shop@${digest}`);
  for (const tag of ['', 'v 1', '-v', 'a/b', 'sha256:short'])
    expect(() => imagesTagged(environment, tag)).toThrow(/tag/);
});

test('a request that was under way at the flip counts as after it', () => {
  const sample = (sent: number, ended: number, lost?: string, place = '/') => ({ place, sent, ended, lost });
  const seen = measured([sample(0, 10), sample(10, 15, 'early', '/x'), sample(18, 25, 'cut'), sample(30, 31)], 20);
  expect(seen).toMatchObject({ sent: 4, failed: 2, why: 'cut' });
  expect(seen.before).toMatchObject({ sent: 2, failed: 1, p50: 0.01 });
  expect(seen.after).toMatchObject({ sent: 2, failed: 1, p99: 0.001 });
  const known = measured([sample(0, 1, 'bad already'), sample(30, 31, 'still bad')], 20);
  expect(known).toMatchObject({ failed: 2, why: undefined });
  expect(measured([sample(0, 1)], undefined).after.sent).toBe(0);
  expect(quantile([], 0.5)).toBe(0);
});

test('what is promoted is decided by its digest, and only where all hosts run the same', () => {
  const live = (web: string) =>
    ({ id: 'abc', tag: 'v2', services: { web, extra: 'x@sha256:1' }, state: 'live' }) as unknown as ListedRelease;
  const same = [
    { host: 'a', live: live('ghcr.io:5000/acme/shop@sha256:11') },
    { host: 'b', live: live('ghcr.io:5000/acme/shop@sha256:11') },
  ];
  expect(promotedImages(environment, environment, same)).toEqual({
    tag: 'v2',
    images: { web: 'ghcr.io:5000/acme/shop:v2@sha256:11' },
    ids: {},
  });
  const differing = [...same, { host: 'c', live: live('ghcr.io:5000/acme/shop@sha256:22') }];
  expect(() => promotedImages(environment, environment, differing)).toThrow(/a runs v2 .* and c runs/);
  const local = [{ host: 'a', live: live('sha256:11') }];
  const { images, ids } = promotedImages(environment, environment, local);
  expect(ids).toEqual({ [images['web'] ?? '']: 'sha256:11' });
});

test('a tunnel knows the ports that are declared, and asks for the others', () => {
  expect(tunnelTarget(environment, 'postgres')).toEqual({ target: 'postgres', port: 5432 });
  expect(tunnelTarget(environment, 'pgbouncer').port).toBe(5432);
  expect(tunnelTarget(environment, 'redis').port).toBe(6379);
  expect(tunnelTarget(environment, 'web').port).toBe(3000);
  expect(tunnelTarget(environment, 'web:9090').port).toBe(9090);
  expect(() => tunnelTarget(environment, 'worker')).toThrow(/not known/);
  expect(() => tunnelTarget(environment, 'web:x')).toThrow(/no port/);
});

test('status says what is not as it should be', () => {
  const now = Date.parse('2026-11-21T12:00:00Z');
  const container = { part: 'blue', restarts: 0, image: 'registry.example.com/acme/shop:v1@sha256:0123456789abcdef' };
  const startedAt = '2026-11-21T09:00:00Z';
  const status = {
    type: 'status.read',
    at: '',
    app: 'shop',
    live: { release: 'abc', tag: 'v1', slot: 'blue' },
    containers: [
      { ...container, name: 'shop-blue-web-1', service: 'web', state: 'running', startedAt, health: 'unhealthy' },
      { ...container, name: 'shop-green-web-1', service: 'web', part: 'green', state: 'exited' },
      { ...container, name: 'shop-workers-worker-1', service: 'worker', part: 'workers', state: 'exited', restarts: 3 },
    ],
    maintenance: { since: '2026-11-21T11:50:00Z', by: 'ana@laptop', allow: ['203.0.113.9'] },
    busy: { operation: 'x', verb: 'up', by: 'bob@ci', since: '2026-11-21T11:59:30Z' },
    certificates: [{ domain: 'shop.example.com', ends: '2026-11-20T12:00:00.000Z' }],
    disk: { freeBytes: 1024 ** 3, totalBytes: 40 * 1024 ** 3 },
  } satisfies Extract<Event, { type: 'status.read' }>;
  const text = statusText(status, paintFor({ isTTY: false }), 80, now).join('\n');
  expect(text).toMatch(/shop-blue-web-1 +unhealthy 3 h +shop:v1@0123456789ab/);
  expect(text).not.toContain('shop-green');
  expect(text).toMatch(/shop-workers-worker-1 +exited .*restarted 3 times/);
  expect(text).toMatch(/maintenance +on for 10 min, by ana@laptop {2}lets 203\.0\.113\.9 through/);
  expect(text).toMatch(/at work +deploy up by bob@ci for 30 s/);
  expect(text).toContain('until 2026-11-20, ended');
});
