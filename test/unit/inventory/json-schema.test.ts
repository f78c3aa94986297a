import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import * as z from 'zod';
import { inventoryJsonSchema, inventoryJsonSchemaText } from '#inventory/json-schema';

const root = new URL('../../../', import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, root), 'utf8');

describe('the published JSON Schema', () => {
  const published = z.fromJSONSchema(inventoryJsonSchema());
  const accepts = (data: unknown): boolean => published.safeParse(data).success;

  it('is what `npm run schema` writes', () => {
    expect(read('inventory/schema.json')).toBe(inventoryJsonSchemaText());
  });

  it('describes every key', () => {
    const bare: string[] = [];
    const walk = (schema: unknown, path: string): void => {
      if (schema === null || typeof schema !== 'object') return;
      for (const [key, value] of Object.entries(schema)) {
        if (key !== 'properties') walk(value, `${path}/${key}`);
        else for (const [name, property] of Object.entries(value)) check(property, `${path}.${name}`);
      }
    };
    const check = (property: unknown, path: string): void => {
      const described = typeof property === 'object' && property !== null && 'description' in property;
      if (!described) bare.push(path);
      walk(property, path);
    };
    walk(inventoryJsonSchema(), '');
    expect(bare.filter((path) => !/\.(?:postgres|redis|soft|hard|condition)$/.test(path))).toEqual([]);
  });

  it.each(['example', 'sandbox'])('accepts inventory/%s.yaml', (name) => {
    const data = parse(read(`inventory/${name}.yaml`), { merge: true });
    expect(published.safeParse(data).error).toBeUndefined();
  });

  it('has no key that the example does not name', () => {
    const example = read('inventory/example.yaml');
    const keys = new Set<string>();
    const walk = (schema: unknown): void => {
      if (schema === null || typeof schema !== 'object') return;
      for (const [key, value] of Object.entries(schema)) {
        if (key === 'properties') for (const name of Object.keys(value)) keys.add(name);
        walk(value);
      }
    };
    walk(inventoryJsonSchema());
    // The inner keys of Compose's longer forms are explained by the Compose specification.
    const composes = ['source', 'target', 'soft', 'hard', 'driver', 'options', 'condition'];
    expect([...keys].filter((key) => !composes.includes(key) && !new RegExp(`\\b${key}\\b`).test(example))).toEqual([]);
  });

  it('accepts one layer of several, with what it removes', () => {
    expect(accepts({ extends: 'base', services: { web: { deploy: { replicas: 3 } }, worker: null } })).toBe(true);
    expect(accepts({ accessories: { postgres: { memory: '2gb', pgbouncer: null }, redis: null } })).toBe(true);
    expect(accepts({ services: { web: { image: 'acme/shop:${TAG}' } } })).toBe(true);
  });

  it('refuses what the loader refuses', () => {
    expect(accepts({ app: 'shop', hots: {} })).toBe(false);
    expect(accepts({ services: { web: { imagee: 'x' } } })).toBe(false);
    expect(accepts({ accessories: { postgres: { maxmemory: '1gb' } } })).toBe(false);
    expect(accepts({ release: { healthTimeout: 'soon' } })).toBe(false);
  });
});
