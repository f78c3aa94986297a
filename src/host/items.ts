import { asDeployError, DeployError } from '#core/errors';
import type { Change, Declaration } from '#protocol/plan';
import { KINDS } from '#resources/index';
import type { Host, Kind } from '#resources/resource';
import { keyOf } from './ownership.ts';

// The engine treats every kind alike, so their own types end here.
export type AnyKind = Kind<never, unknown, Record<string, unknown>>;

const KIND_BY_NAME: ReadonlyMap<string, AnyKind> = new Map(
  KINDS.map((kind) => [kind.kind, kind as unknown as AnyKind]),
);

/** One declaration, ready to be read and applied. */
export interface Item {
  readonly key: string;
  readonly declaration: Declaration;
  readonly kind: AnyKind;
  readonly props: Record<string, unknown>;
}

/** What a resource is now, and how that differs from what was declared. */
export interface Reading {
  readonly state: unknown;
  readonly changes: readonly Change[];
}

/** A kind by its name. */
export function kindOf(name: string): AnyKind {
  const kind = KIND_BY_NAME.get(name);
  if (kind !== undefined) return kind;
  throw new DeployError('unknown-kind', `The runner knows no resource of kind ${name}.`, {
    hint: 'Rebuild Slipway, so that the laptop and the runner are of one version.',
  });
}

/** A declaration with its kind, its properties checked. */
export function itemOf(declaration: Declaration): Item {
  const kind = kindOf(declaration.kind);
  const props = (kind.props as unknown as { parse(value: unknown): Record<string, unknown> }).parse(declaration.props);
  return { key: keyOf(declaration), declaration, kind, props };
}

/** Reads one resource and compares it. */
export async function readOne(host: Host, { key, kind, props }: Item): Promise<Reading> {
  try {
    const state = await kind.read(host, props);
    return { state, changes: kind.diff(state, props) };
  } catch (error) {
    throw asDeployError(error).at({ resource: key });
  }
}

/** What a person may see of changes: nothing of the content where the declaration is sensitive. */
export function shown({ declaration }: Item, changes: readonly Change[]): Change[] {
  if (!declaration.sensitive) return [...changes];
  return changes.map(({ summary, diff }) =>
    diff === undefined ? { summary } : { summary: `${summary} (content hidden)` },
  );
}

/** Whether there is anything to do. */
export function differs(reading: Reading | undefined): boolean {
  return reading !== undefined && reading.changes.length > 0;
}
