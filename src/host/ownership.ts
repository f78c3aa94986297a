import { join } from 'node:path';
import type { Trigger } from '#protocol/plan';
import { listIfThere, readTextIfThere, replaceFile } from './files.ts';
import { PATHS } from './paths.ts';

/** One resource that Slipway answers for on this host. */
export interface Owned {
  readonly kind: string;
  readonly id: string;
  readonly playbook: string;
  /** What its kind needs to remove it. */
  readonly footprint: Record<string, unknown>;
  readonly triggers: readonly Trigger[];
  /** It was there before Slipway came. */
  readonly preexisting: boolean;
}

/** What each app owns on a host; host-wide resources are those of all apps together. */
export interface Ownership {
  /** What the app owned after the last run, in the order it was made. */
  readonly own: ReadonlyMap<string, Owned>;
  /** Keys that another app on this host owns too. */
  readonly others: ReadonlyMap<string, string>;
}

function pathOf(app: string): string {
  return join(PATHS.ownership, `${app}.json`);
}

/** What an app owns on this host, in the order it was made. */
export async function ownedBy(app: string): Promise<ReadonlyMap<string, Owned>> {
  const text = await readTextIfThere(pathOf(app));
  const list = text === undefined ? [] : (JSON.parse(text) as Owned[]);
  return new Map(list.map((owned) => [keyOf(owned), owned]));
}

/** `kind:id`, by which a resource is known in plans, events and ownership. */
export function keyOf({ kind, id }: { readonly kind: string; readonly id: string }): string {
  return `${kind}:${id}`;
}

export async function readOwnership(app: string): Promise<Ownership> {
  const apps = (await listIfThere(PATHS.ownership))
    .filter((name) => name.endsWith('.json') && name !== `${app}.json`)
    .map((name) => name.slice(0, -'.json'.length));
  const others = new Map<string, string>();
  for (const other of apps) for (const key of (await ownedBy(other)).keys()) others.set(key, other);
  return { own: await ownedBy(app), others };
}

export async function writeOwnership(app: string, owned: Iterable<Owned>): Promise<void> {
  await replaceFile(pathOf(app), `${JSON.stringify([...owned], undefined, 1)}\n`, { mode: 0o600, uid: 0, gid: 0 });
}
