import * as z from 'zod';
import { suggest } from '#inventory/problems';
import { REFUSED } from '#inventory/schema-container';
import type { Path } from '#inventory/tree';

/** What a schema issue comes down to: where, and one sentence for a person. */
export interface Finding {
  readonly path: Path;
  readonly part: 'key' | 'value';
  readonly message: string;
}

type Issue = z.core.$ZodIssue;
type Schema = z.core.$ZodType;

const EXPECTED: Readonly<Record<string, string>> = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  object: 'a map',
  record: 'a map',
  array: 'a list',
};

function kindOf(value: unknown): string {
  if (value === null) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'a map';
  if (typeof value === 'string') return 'text';
  return typeof value === 'number' ? 'a number' : 'true or false';
}

/** The schemas a value at a path is checked against; several where there are alternatives. */
function schemasAt(schema: Schema, path: Path): readonly Schema[] {
  const definition = (schema as z.core.$ZodTypes)._zod.def;
  switch (definition.type) {
    case 'optional':
    case 'default':
    case 'prefault':
      return schemasAt(definition.innerType, path);
    case 'union':
      return definition.options.flatMap((option) => schemasAt(option, path));
    default:
  }
  const [step, ...rest] = path;
  if (step === undefined) return [schema];
  switch (definition.type) {
    case 'object': {
      const next = definition.shape[String(step)];
      return next === undefined ? [] : schemasAt(next, rest);
    }
    case 'record':
      return schemasAt(definition.valueType, rest);
    case 'array':
      return schemasAt(definition.element, rest);
    default:
      return [];
  }
}

function keysOf(schema: Schema): readonly string[] {
  const definition = (schema as z.core.$ZodTypes)._zod.def;
  return definition.type === 'object' ? Object.keys(definition.shape) : [];
}

/** The keys a map at a path may have; of an accessory, those of its type. */
function keysAt(schema: Schema, path: Path, map: unknown): readonly string[] {
  const candidates = schemasAt(schema, path);
  const type = valueAt(map, ['type']);
  const ofType = candidates.filter((candidate) => {
    const [discriminator] = schemasAt(candidate, ['type']);
    const definition = (discriminator as z.core.$ZodTypes | undefined)?._zod.def;
    return definition?.type === 'literal' && definition.values.includes(type as string);
  });
  return [...new Set((ofType.length > 0 ? ofType : candidates).flatMap(keysOf))];
}

/** The value at a path of plain data; undefined where there is none. */
export function valueAt(value: unknown, path: Path): unknown {
  return path.reduce<unknown>(
    (here, step) => (here !== null && typeof here === 'object' ? (here as Record<string, unknown>)[step] : undefined),
    value,
  );
}

/** The sentence that describes what a path should hold. */
function describe(schema: Schema, path: Path): string | undefined {
  const descriptions = schemasAt(schema, path.slice(0, -1)).map((candidate) => {
    const definition = (candidate as z.core.$ZodTypes)._zod.def;
    const child = definition.type === 'object' ? definition.shape[String(path.at(-1))] : undefined;
    return child === undefined ? undefined : z.globalRegistry.get(child)?.description;
  });
  return descriptions.find((description) => description !== undefined);
}

/** Whether an alternative failed because the value is of another shape altogether. */
function isOtherShape(issues: readonly Issue[]): boolean {
  return issues.some(
    (issue) => issue.path.length === 0 && (issue.code === 'invalid_type' || issue.code === 'invalid_value'),
  );
}

const MISSING = 'is missing';

const place = (path: Path): string => JSON.stringify(path);

const meantBy = (message: string): string | undefined => /^unknown key; did you mean "(.+)"\?$/.exec(message)?.[1];

const quoted = (value: unknown, path: Path): string => {
  const hidden = /password/i.test(String(path.at(-1)));
  return hidden || (typeof value !== 'string' && typeof value !== 'number') ? '' : `"${value}" `;
};

/** Turns what zod found into findings a person understands. `data` is what was checked. */
export function findingsOf(issues: readonly Issue[], schema: Schema, data: unknown): readonly Finding[] {
  const findings = issues.flatMap((issue) => explain(issue, []));
  // What is missing because it was misspelt is one mistake, not two.
  const meant = new Set(findings.map(({ path, message }) => place([...path.slice(0, -1), meantBy(message) ?? ''])));
  return findings.filter(({ path, message }) => !(message.startsWith(MISSING) && meant.has(place(path))));

  function explain(issue: Issue, above: Path): readonly Finding[] {
    const path: Path = [...above, ...issue.path.map((step) => (typeof step === 'symbol' ? String(step) : step))];
    const value = valueAt(data, path);
    const finding = (message: string, part: 'key' | 'value' = 'value'): Finding[] => [{ path, part, message }];

    switch (issue.code) {
      case 'unrecognized_keys': {
        const known = keysAt(schema, path, value);
        return issue.keys.map((key) => ({ path: [...path, key], part: 'key', message: unknownKey(key, known, path) }));
      }
      case 'invalid_type': {
        if (value === undefined) {
          const description = describe(schema, path);
          return finding(`${MISSING}${description === undefined ? '' : `: ${lowerFirst(description)}`}`, 'key');
        }
        if (value === null) return finding(`has no value; expected ${EXPECTED[issue.expected] ?? issue.expected}`);
        const advice = issue.expected === 'string' && typeof value !== 'object' ? '; put it in quotes' : '';
        return finding(`expected ${EXPECTED[issue.expected] ?? issue.expected}, got ${kindOf(value)}${advice}`);
      }
      case 'invalid_value': {
        const known = issue.values.map(String);
        if (known.length === 1) return finding(`expected ${known[0]}`);
        return finding(`${quoted(value, path)}is not known${suggest(String(value), known)}`);
      }
      case 'invalid_union':
        return union(issue, path, value);
      case 'invalid_key':
        return finding(issue.issues.map((inner) => inner.message).join('; '), 'key');
      case 'too_small':
        return finding(
          issue.origin === 'number' || issue.origin === 'int' ? `must be at least ${issue.minimum}` : 'is empty',
        );
      case 'too_big':
        return finding(`must be at most ${issue.maximum}`);
      default:
        return finding(
          /^(?:is|has|begins) /.test(issue.message) ? `${quoted(value, path)}${issue.message}` : issue.message,
        );
    }
  }

  function union(issue: z.core.$ZodIssueInvalidUnion, path: Path, value: unknown): readonly Finding[] {
    if (issue.errors.length === 0) {
      const known = 'options' in issue && Array.isArray(issue.options) ? issue.options.map(String) : [];
      return [{ path, part: 'value', message: `${quoted(value, path)}is not known${suggest(String(value), known)}` }];
    }
    const fitting = issue.errors
      .filter((alternative) => !isOtherShape(alternative))
      .sort((a, b) => a.length - b.length);
    const chosen = fitting[0];
    if (chosen !== undefined) return chosen.flatMap((inner) => explain(inner, path));
    const expected = issue.errors.flatMap((alternative) => {
      const first = alternative[0];
      if (first?.code === 'invalid_type') return [EXPECTED[first.expected] ?? first.expected];
      return first?.code === 'invalid_value' ? first.values.map((option) => JSON.stringify(option)) : [];
    });
    const got = value === null ? 'has no value; ' : '';
    const kind = typeof value === 'string' ? `"${value}"` : kindOf(value);
    const shown = /password/i.test(String(path.at(-1))) ? 'something else' : kind;
    return [
      {
        path,
        part: 'value',
        message: `${got}expected ${alternatives([...new Set(expected)])}${value === null ? '' : `, got ${shown}`}`,
      },
    ];
  }
}

function unknownKey(key: string, known: readonly string[], path: Path): string {
  const [section] = path;
  const isContainer = path.length === 2 && (section === 'services' || section === 'accessories');
  const instead = isContainer ? REFUSED[key] : undefined;
  if (instead !== undefined) return `has no place here: ${instead}`;
  if (known.includes(key)) return 'does not go together with the keys beside it';
  return `unknown key${suggest(key, known)}`;
}

const alternatives = (words: readonly string[]): string =>
  words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`;

const lowerFirst = (sentence: string): string => sentence.charAt(0).toLowerCase() + sentence.slice(1);
