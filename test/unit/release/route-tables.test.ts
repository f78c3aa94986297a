import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  admit,
  generationIn,
  generationOf,
  type RouteTable,
  type RouteTables,
  renderTables,
} from '#release/route-tables';
import type { Slot } from '#release/slots';

const SLOTS = ['blue', 'green'] as const;

/** What nginx does with a rendered text: the first expression that matches, and the servers of what it names. */
function asNginx(text: string, table: string, domain: string, uri: string, slot: Slot): string {
  const key = `${table} ${domain} ${Buffer.from(uri).toString('latin1')}`;
  for (const [, expression = '', value = ''] of text.matchAll(/^ {4}"~(.+)" (.+);$/gm)) {
    if (!new RegExp(expression.replace('\\z', '(?![^])')).test(key)) continue;
    if (value.startsWith('/')) return `301 ${value}`;
    const block = new RegExp(`^upstream ${value}_${slot} \\{\n([^}]*)\\}`, 'm').exec(text)?.[1] ?? 'no such upstream';
    return [...block.matchAll(/server (\S+) /g)].map(([, server]) => server).join(' ');
  }
  return '404';
}

/** What a release alone answers with: the longest path that the request's begins with. */
function alone(table: RouteTable, domain: string, uri: string, slot: Slot): string {
  const own = table
    .map((route) => ({ ...route, path: decodeURIComponent(route.path) }))
    .filter((route) => route.domain === domain);
  const [longest] = own
    .filter(({ path }) => uri.startsWith(path))
    .sort((one, other) => other.path.length - one.path.length);
  const folder = own.find(({ path }) => path === `${uri}/`);
  if (folder !== undefined && longest?.path !== uri)
    return `301 ${folder.path.split('/').map(encodeURIComponent).join('/')}`;
  return longest === undefined ? '404' : longest.servers[slot].join(' ');
}

const segment = fc.constantFrom('api', 'a.b', 'a-b', '~x', 'é', 'ab', 'a%2Bb', 'A');
const path = fc
  .tuple(fc.array(segment, { maxLength: 3 }), fc.boolean())
  .map(([parts, ends]) => (parts.length === 0 ? '/' : `/${parts.map(encoded).join('/')}${ends ? '/' : ''}`));

function encoded(part: string): string {
  return part.includes('%') ? part : encodeURIComponent(part);
}

const table = fc
  .uniqueArray(
    fc.record({
      domain: fc.constantFrom('shop.test', 'www-shop.test'),
      path,
      upstream: fc.constantFrom('shop_web_3000', 'shop_web_4000', 'shop_api_3000'),
    }),
    { selector: ({ domain, path: one }) => `${domain} ${decodeURIComponent(one)}`, maxLength: 6 },
  )
  .chain((routes) =>
    fc.constantFrom(1, 2).map((replicas): RouteTable => {
      const servers = (upstream: string, slot: Slot) =>
        Array.from({ length: replicas }, (_, index) => `${upstream}.${slot}:${index}`);
      return routes.map((route) => {
        const { upstream } = route;
        return {
          ...route,
          waits: false,
          servers: { blue: servers(upstream, 'blue'), green: servers(upstream, 'green') },
        };
      });
    }),
  );

function urisOf(tables: readonly RouteTable[]): readonly string[] {
  const paths = tables.flatMap((one) => one.map((route) => decodeURIComponent(route.path)));
  return [...new Set(['/', '/nope', ...paths.flatMap((one) => [one, `${one}x`, `${one}/y`, one.replace(/\/$/, '')])])]
    .filter((uri) => uri !== '')
    .sort();
}

describe('the routes of two releases at a time', () => {
  test('every path answers in each slot as the release there would alone, whatever came and went', () => {
    const step = fc.record({ wanted: table, flips: fc.boolean() });
    void fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 6 }), (steps) => {
        let tables: RouteTables = {};
        let live: Slot | undefined;
        const by: Partial<Record<Slot, 'a' | 'b'>> = {};
        const declared: Partial<Record<Slot, RouteTable>> = {};
        for (const { wanted, flips } of steps) {
          const into: Slot = live === 'blue' ? 'green' : 'blue';
          const admitted = admit(tables, live === undefined ? undefined : by[live], wanted);
          tables = admitted.tables;
          by[into] = admitted.name;
          declared[into] = wanted;
          if (flips || live === undefined) live = into;
          const text = renderTables('shop', tables);
          const uris = urisOf(Object.values(declared));
          for (const slot of SLOTS) {
            const name = by[slot];
            const own = declared[slot];
            if (name === undefined || own === undefined) continue;
            for (const domain of ['shop.test', 'www-shop.test']) {
              for (const uri of uris) {
                expect(asNginx(text, name, domain, uri, slot), `${slot} ${domain}${uri}`).toBe(
                  alone(own, domain, uri, slot),
                );
              }
            }
          }
        }
      }),
    );
  });

  test('the same routes again change nothing, and going back to those before does not either', () => {
    void fc.assert(
      fc.property(table, table, (one, other) => {
        const first = admit({}, undefined, one);
        const second = admit(first.tables, first.name, other);
        expect(admit(second.tables, second.name, other)).toEqual(second);
        expect(admit(second.tables, second.name, one)).toEqual({ tables: second.tables, name: first.name });
      }),
    );
  });

  test('a rendered text says what it is of', () => {
    void fc.assert(
      fc.property(table, table, (a, b) => {
        expect(generationIn(renderTables('my-shop', { a, b }))).toBe(generationOf({ a, b }));
      }),
    );
    expect(generationIn(undefined)).toBeUndefined();
  });
});
