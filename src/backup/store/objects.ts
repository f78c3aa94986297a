/** An object: its name below the store's objects, and its size in bytes. */
export interface StoredObject {
  readonly name: string;
  readonly size: number;
}

/** A file that is to become an object. */
export interface NewObject {
  /** Its name, below the prefix. */
  readonly name: string;
  readonly size: number;
}

/** Where a store's objects are: written once, whole or not at all. What is beside them begins with a dot. */
export interface Objects {
  /**
   * Puts these files of a folder below a prefix; those that are there already with their size are left alone. Resolves
   * with what stands there afterwards under these names.
   */
  put(folder: string, prefix: string, files: readonly NewObject[]): Promise<readonly StoredObject[]>;
  list(prefix: string): Promise<readonly StoredObject[]>;
  /** Brings those of a folder that are there. */
  fetch(prefix: string, names: readonly string[], folder: string): Promise<void>;
  remove(prefix: string, names: readonly string[]): Promise<void>;
}

/** The part of an object's name before its last slash, and the one after it. */
export function split(name: string): readonly [prefix: string, file: string] {
  const at = name.lastIndexOf('/');
  return [name.slice(0, Math.max(at, 0)), name.slice(at + 1)];
}

/** Names by the prefix they have. */
export function byPrefix(names: readonly string[]): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, string[]>();
  for (const name of names) {
    const [prefix, file] = split(name);
    found.set(prefix, [...(found.get(prefix) ?? []), file]);
  }
  return found;
}
