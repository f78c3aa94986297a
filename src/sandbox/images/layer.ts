import { createHash } from 'node:crypto';

/** One file that a recipe puts into a layer. */
export interface LayerFile {
  readonly content: string | Buffer;
  /** 0644 by default. */
  readonly mode?: number;
  /** Owner and group by number; root by default. */
  readonly owner?: readonly [uid: number, gid: number];
}

/** What a layer consists of, once made: the paths, relative to `root`, that go into its archive. */
export interface LayerContents {
  readonly root: string;
  readonly paths: readonly string[];
}

/** What a layer may use while it is made. */
export interface Workbench {
  /** An empty folder of this layer's own. What is in its `tree` afterwards stays where the layer keeps its tree. */
  readonly folder: string;
  /** The tree that a layer below has kept. */
  treeOf(layer: Layer): string;
}

/** One layer of an image: a name for people, a key that changes with its recipe, and how it is made. */
export interface Layer {
  readonly name: string;
  readonly key: string;
  /** The layers whose trees must stand before this one can be made. */
  readonly needs: readonly Layer[];
  /** Whether the tree stays in the cache for layers that build on it. */
  readonly keepsTree: boolean;
  make(bench: Workbench): Promise<LayerContents>;
}

/** Raised whenever the way layers are made changes although no recipe did: every cached layer is then made anew. */
const FORMAT = 1;

function plain(_name: string, value: unknown): unknown {
  return value instanceof Uint8Array || Buffer.isBuffer(value)
    ? createHash('sha256').update(value).digest('hex')
    : value;
}

/** The cache key of a recipe: sixteen hexadecimal digits over everything in it and the machine's architecture. */
export function recipeKey(recipe: unknown): string {
  const text = JSON.stringify([FORMAT, process.arch, recipe], plain);
  return createHash('sha256').update(text).digest('hex').slice(0, 16);
}
