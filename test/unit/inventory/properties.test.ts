import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { InventoryError } from '#inventory/problems';
import { KEY, load } from './project.ts';

const name = fc.stringMatching(/^[a-z][a-z0-9]{0,8}$/);
const image = fc.constantFrom('acme/shop:1', 'ghcr.io/acme/shop:1.4.2', 'registry.example.com:5000/a/b:v1');
const duration = fc
  .tuple(fc.integer({ min: 1, max: 90 }), fc.constantFrom('s', 'm', 'h', 'd'))
  .map((parts) => parts.join(''));
const size = fc
  .tuple(fc.integer({ min: 1, max: 900 }), fc.constantFrom('kb', 'mb', 'm', 'GB'))
  .map((parts) => parts.join(''));
// Whatever a person may put into a variable; a dollar is written twice.
const text = fc.string().map((value) => value.replaceAll('$', '$$$$'));
const optional = { requiredKeys: [] };

const service = fc.record(
  {
    image,
    environment: fc.oneof(
      fc.dictionary(fc.stringMatching(/^[A-Z][A-Z0-9_]{0,8}$/), fc.oneof(text, fc.integer(), fc.boolean()), {
        maxKeys: 4,
      }),
      fc.array(
        text.map((value) => `NAME=${value}`),
        { maxLength: 1 },
      ),
    ),
    command: fc.oneof(text, fc.array(text, { maxLength: 3 })),
    deploy: fc.record(
      {
        replicas: fc.integer({ min: 1, max: 8 }),
        resources: fc.record({ limits: fc.record({ memory: size, cpus: fc.integer({ min: 1, max: 4 }) }, optional) }),
      },
      optional,
    ),
    healthcheck: fc.record({
      test: fc.array(fc.constant('true'), { minLength: 1 }),
      retries: fc.integer({ min: 1, max: 9 }),
    }),
    read_only: fc.boolean(),
    labels: fc.dictionary(name, text, { maxKeys: 2 }),
  },
  { requiredKeys: ['image'] },
);

const inventory = fc
  .record(
    {
      app: name,
      hosts: fc
        .uniqueArray(fc.integer({ min: 1, max: 250 }), { minLength: 1, maxLength: 4 })
        .map((numbers) =>
          Object.fromEntries(
            numbers.map((number) => [`host-${number}`, { address: `203.0.113.${number}`, user: 'root' }]),
          ),
        ),
      ssh: fc.record(
        {
          user: fc.constant('ops'),
          authorizedKeys: fc.constant([KEY]),
          allowFrom: fc.constantFrom('any', ['203.0.113.0/24']),
        },
        { requiredKeys: ['authorizedKeys'] },
      ),
      services: fc.dictionary(name, service, { minKeys: 1, maxKeys: 3 }),
      harden: fc.record(
        {
          fail2ban: fc.record(
            { maxRetry: fc.integer({ min: 1, max: 50 }), findTime: duration, banTime: duration },
            optional,
          ),
          unattendedUpgrades: fc.record({ reboot: fc.boolean(), rebootTime: fc.constant('03:30') }, optional),
          swap: size,
        },
        optional,
      ),
      docker: fc.record({ logMaxSize: size, logMaxFile: fc.integer({ min: 1, max: 9 }) }, optional),
      release: fc.record({ healthTimeout: duration }, optional),
      proxy: fc.record({ clientMaxBodySize: size }, optional),
      logs: fc.record({ keep: fc.constant('14d') }, optional),
    },
    { requiredKeys: ['app', 'hosts', 'ssh', 'services'] },
  )
  .map((declared) => ({
    ...declared,
    routes: Object.fromEntries(Object.keys(declared.services).map((key) => [`${key}.example.com`, `${key}:3000`])),
  }));

/** The keys of an inventory that are Slipway's words, not a person's. */
function words(value: unknown, path: readonly string[] = []): (readonly string[])[] {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return [];
  return Object.entries(value).flatMap(([key, item]) => {
    const here = [...path, key];
    const isNamed = /^(?:hosts|services|routes)$|\.(?:environment|labels)$/.test(path.join('.'));
    return [...(isNamed ? [] : [here]), ...words(item, here)];
  });
}

function misspell(value: unknown, path: readonly string[], wrong: string): unknown {
  const [key, ...rest] = path;
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, item]) => {
      if (name !== key) return [name, item];
      return rest.length === 0 ? [wrong, item] : [name, misspell(item, rest, wrong)];
    }),
  );
}

describe('whatever is declared', () => {
  it('means the same however YAML writes it', async () => {
    await fc.assert(
      fc.asyncProperty(inventory, async (declared) => {
        const block = await load({ 'inventory/prod.yaml': stringify(declared) });
        const flow = await load({ 'inventory/prod.yaml': JSON.stringify(declared) });
        const unlike = { directory: '' };
        expect({ ...block, ...unlike }).toEqual({ ...flow, ...unlike });
        expect(block.app).toBe(declared.app);
        expect(Object.keys(block.hosts)).toEqual(Object.keys(declared.hosts));
        for (const [key, { environment = {}, image: declaredImage }] of Object.entries(declared.services)) {
          const expected = Array.isArray(environment)
            ? environment.map((line): [string, string] => ['NAME', line.slice('NAME='.length)])
            : Object.entries(environment).map(([variable, value]): [string, string] => [variable, String(value)]);
          const meant = expected.map(([variable, value]) => [variable, value.replaceAll('$$', '$')]);
          expect(block.services[key]?.environment).toEqual(Object.fromEntries(meant));
          expect(block.services[key]?.image).toBe(declaredImage);
        }
      }),
      { numRuns: 60 },
    );
  });

  it('a misspelt key is reported at its line, with the right word', async () => {
    const misspelt = inventory.chain((declared) => {
      const places = words(declared).filter((path) => (path.at(-1) ?? '').length >= 4);
      return fc.record({
        declared: fc.constant(declared),
        path: fc.constantFrom(...places),
        at: fc.nat(),
        letter: fc.constantFrom('q', 'z', 'w'),
      });
    });
    await fc.assert(
      fc.asyncProperty(misspelt, async ({ declared, path, at, letter }) => {
        const right = path.at(-1) ?? '';
        const position = at % right.length;
        const wrong = `${right.slice(0, position)}${letter}${right.slice(position)}`;
        const yaml = stringify(misspell(declared, path, wrong));
        const line = yaml.split('\n').findIndex((text) => text.trimStart().startsWith(`${wrong}:`)) + 1;
        const error: unknown = await load({ 'inventory/prod.yaml': yaml }).catch((reason: unknown) => reason);
        expect(error).toBeInstanceOf(InventoryError);
        const found = (error as InventoryError).problems.filter(({ message }) => message.startsWith('unknown key'));
        expect(found).toHaveLength(1);
        expect(found[0]?.message).toBe(`unknown key; did you mean "${right}"?`);
        expect(found[0]?.path.endsWith(wrong)).toBe(true);
        expect(found[0]?.line).toBe(line);
      }),
      { numRuns: 150 },
    );
  });
});
