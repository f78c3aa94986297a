import * as z from 'zod';
import { ACCESSORIES, inventory } from '#inventory/schema';

type Json = Record<string, unknown>;

const isMap = (value: unknown): value is Json => value !== null && typeof value === 'object' && !Array.isArray(value);

/**
 * The inventory's JSON Schema (draft 2020-12), for editors. It is laxer than the loader in what a single file cannot
 * decide: a file that extends another may leave out what that one has, write null to remove it, and use variables.
 */
export function inventoryJsonSchema(): Json {
  const schema: Json = z.toJSONSchema(inventory, { io: 'input', target: 'draft-2020-12' });
  const properties = schema['properties'] as Record<string, Json>;
  const accessories = properties['accessories'] as Json;
  const { postgres, redis, container } = Object.fromEntries(
    Object.entries(ACCESSORIES).map(([type, accessory]) => {
      const { $schema: _, ...json } = z.toJSONSchema(accessory, { io: 'input', target: 'draft-2020-12' });
      return [type, json as Json];
    }),
  );
  const typed = [postgres, redis].map((json) => ({ ...json, required: ['type'] }));
  const { oneOf: _, ...others } = accessories['additionalProperties'] as Json;
  // A name that is a type implies it.
  accessories['properties'] = { postgres, redis };
  accessories['additionalProperties'] = { ...others, anyOf: [...typed, container] };
  const file = layered(schema);
  return {
    $schema: file['$schema'],
    title: 'Slipway inventory',
    ...file,
    patternProperties: { '^x-': { description: 'Anything, to be repeated with YAML anchors.' } },
  };
}

/** A schema for one layer of an inventory: nothing is required, and null removes. Items of lists stay as they are. */
function layered(schema: Json): Json {
  const { required, ...rest } = schema;
  const layer: Json = { ...rest };
  if (isMap(schema['properties']))
    layer['properties'] = mapValues(schema['properties'], (value) => removable(layered(value)));
  if (isMap(schema['additionalProperties'])) {
    layer['additionalProperties'] = removable(layered(schema['additionalProperties']));
  }
  if (Array.isArray(schema['anyOf'])) layer['anyOf'] = schema['anyOf'].map(layered);
  if (typeof schema['pattern'] === 'string') layer['pattern'] = `${schema['pattern']}|\\$\\{`;
  // The discriminator tells the accessories apart.
  if (Array.isArray(required) && required.length === 1 && required[0] === 'type') layer['required'] = required;
  return layer;
}

function removable(schema: Json): Json {
  if (Array.isArray(schema['anyOf'])) return { ...schema, anyOf: [...schema['anyOf'], { type: 'null' }] };
  if (typeof schema['type'] !== 'string') return schema;
  const { const: only, enum: values, ...rest } = schema;
  const choices = Array.isArray(values) ? values : only === undefined ? undefined : [only];
  return { ...rest, type: [schema['type'], 'null'], ...(choices === undefined ? {} : { enum: [...choices, null] }) };
}

function mapValues(map: Json, change: (value: Json) => Json): Json {
  return Object.fromEntries(Object.entries(map).map(([key, value]) => [key, isMap(value) ? change(value) : value]));
}

/** The text of `inventory/schema.json`. */
export function inventoryJsonSchemaText(): string {
  return `${JSON.stringify(inventoryJsonSchema(), null, 2)}\n`;
}
