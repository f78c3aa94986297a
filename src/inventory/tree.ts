import { isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from 'yaml';

/** A place in a file: lines and columns count from 1, the file is relative to the project. */
export interface Origin {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

interface Placed {
  /** Where the key stands that leads here; for an item of a list, the item. */
  readonly key: Origin;
  /** Where the value itself begins. */
  readonly at: Origin;
}

/** A YAML value that remembers where each of its parts was written, also after files were merged. */
export type Tree =
  | (Placed & { readonly kind: 'map'; readonly entries: ReadonlyMap<string, Tree> })
  | (Placed & { readonly kind: 'list'; readonly items: readonly Tree[] })
  | (Placed & { readonly kind: 'scalar'; readonly value: unknown });

/** Something is wrong at a place of the inventory. */
export type Report = (fault: { readonly path: Path; readonly origin: Origin; readonly message: string }) => void;

export type Path = readonly (string | number)[];

// An alias may repeat a part of a file, but a few lines must not become gigabytes.
const MOST_NODES = 20_000;

const SECRETIVE = /pass|secret|token|key|:\/\/[^/]*@/i;

/** The part of a source line worth showing, with a caret below; nothing where it may hold a secret. */
function quoteLine(text: string, origin: Origin): string {
  const line = text.split('\n')[origin.line - 1] ?? '';
  if (line.trim() === '' || line.length > 100 || SECRETIVE.test(line)) return '';
  return `\n    ${line.replaceAll('\t', '→')}\n    ${' '.repeat(Math.max(0, origin.column - 1))}^`;
}

/** Reads the text of one file; undefined, with the faults reported, where it is no YAML map. */
export function parseTree(text: string, file: string, report: Report): (Tree & { kind: 'map' }) | undefined {
  const counter = new LineCounter();
  const document = parseDocument(text, { lineCounter: counter, prettyErrors: false, uniqueKeys: false });
  const originOf = (offset: number): Origin => {
    const { line, col } = counter.linePos(offset);
    return { file, line, column: col };
  };
  const faults = [...document.errors, ...document.warnings];
  for (const fault of faults) {
    const origin = originOf(fault.pos[0]);
    report({ path: [], origin, message: `is not valid YAML: ${fault.message}${quoteLine(text, origin)}` });
  }
  if (faults.length > 0) return undefined;

  let nodes = 0;
  const open = new Set<Node>();

  function mergeKey(entries: Map<string, Tree>, node: Node | null, path: Path, key: Origin): void {
    const source = isAlias(node) ? node.resolve(document) : node;
    for (const part of isSeq(source) ? (source.items as Node[]) : [source ?? null]) {
      const tree = convert(part, path, key);
      if (tree.kind !== 'map') {
        report({ path, origin: key, message: '<< merges maps only' });
        continue;
      }
      for (const [name, value] of tree.entries) if (!entries.has(name)) entries.set(name, value);
    }
  }

  function convert(node: Node | null | undefined, path: Path, key: Origin): Tree {
    nodes += 1;
    if (nodes === MOST_NODES) report({ path, origin: key, message: 'the file grows without end through its aliases' });
    if (node === null || node === undefined || nodes >= MOST_NODES)
      return { kind: 'scalar', value: null, key, at: key };
    if (isAlias(node)) {
      const target = node.resolve(document);
      if (target === undefined || open.has(target)) {
        report({ path, origin: key, message: `the alias *${node.source} leads to itself or nowhere` });
        return { kind: 'scalar', value: null, key, at: key };
      }
      return convert(target, path, key);
    }
    const at = originOf(node.range?.[0] ?? 0);
    if (isScalar(node)) return { kind: 'scalar', value: node.value, key, at };
    open.add(node);
    const tree = isMap(node)
      ? convertMap(node.items as { key: unknown; value: Node | null }[], path, key, at)
      : {
          kind: 'list' as const,
          items: (isSeq(node) ? (node.items as Node[]) : []).map((item, index) =>
            convert(item, [...path, index], originOf(item?.range?.[0] ?? 0)),
          ),
          key,
          at,
        };
    open.delete(node);
    return tree;
  }

  function convertMap(
    pairs: readonly { key: unknown; value: Node | null }[],
    path: Path,
    key: Origin,
    at: Origin,
  ): Tree {
    const entries = new Map<string, Tree>();
    const merges: { node: Node | null; origin: Origin }[] = [];
    for (const pair of pairs) {
      const node = isAlias(pair.key) ? pair.key.resolve(document) : (pair.key as Node);
      const origin = originOf(node?.range?.[0] ?? 0);
      if (!isScalar(node) || node.value === null) {
        report({ path, origin, message: 'has a key that is no text' });
        continue;
      }
      if (node.value === '<<' && node.type === 'PLAIN') {
        merges.push({ node: pair.value, origin });
        continue;
      }
      const name = typeof node.value === 'string' ? node.value : (node.source ?? String(node.value));
      const earlier = entries.get(name);
      if (earlier !== undefined) {
        report({
          path: [...path, name],
          origin,
          message: `is declared twice; the first is on line ${earlier.key.line}`,
        });
        continue;
      }
      entries.set(name, convert(pair.value, [...path, name], origin));
    }
    for (const { node, origin } of merges) mergeKey(entries, node, path, origin);
    return { kind: 'map', entries, key, at };
  }

  const start: Origin = { file, line: 1, column: 1 };
  if (document.contents === null) return { kind: 'map', entries: new Map(), key: start, at: start };
  const tree = convert(document.contents, [], start);
  if (tree.kind === 'map') return tree;
  report({ path: [], origin: tree.at, message: 'is no map; an inventory begins with `app: <name>`' });
  return undefined;
}

/** What `over` says on top of `base`: maps are merged, everything else replaced, and null removes what `base` has. */
export function mergeTrees<T extends Tree>(base: T, over: T): T {
  if (base.kind !== 'map' || over.kind !== 'map') return over;
  const entries = new Map(base.entries);
  for (const [name, value] of over.entries) {
    const before = entries.get(name);
    if (before !== undefined && value.kind === 'scalar' && value.value === null) entries.delete(name);
    else entries.set(name, before === undefined ? value : mergeTrees(before, value));
  }
  return { ...over, entries };
}

/** Every scalar of a tree passed through a function. */
export function mapScalars(
  tree: Tree,
  change: (value: unknown, path: Path, origin: Origin) => unknown,
  path: Path = [],
): Tree {
  switch (tree.kind) {
    case 'scalar':
      return { ...tree, value: change(tree.value, path, tree.at) };
    case 'list':
      return { ...tree, items: tree.items.map((item, index) => mapScalars(item, change, [...path, index])) };
    case 'map': {
      const entries = [...tree.entries].map(
        ([name, item]) => [name, mapScalars(item, change, [...path, name])] as const,
      );
      return { ...tree, entries: new Map(entries) };
    }
  }
}

/** The tree as plain data, without the places. */
export function plainOf(tree: Tree): unknown {
  switch (tree.kind) {
    case 'scalar':
      return tree.value;
    case 'list':
      return tree.items.map(plainOf);
    case 'map': {
      // No prototype: a key called __proto__ stays a key.
      const plain: Record<string, unknown> = Object.create(null);
      for (const [name, item] of tree.entries) plain[name] = plainOf(item);
      return plain;
    }
  }
}

/** Where a path is written: its key, or its value; for what is not there, the key of what should hold it. */
export function locate(tree: Tree, path: Path, part: 'key' | 'value'): Origin {
  let here: Tree = tree;
  for (const step of path) {
    const next: Tree | undefined =
      here.kind === 'map'
        ? here.entries.get(String(step))
        : here.kind === 'list'
          ? here.items[Number(step)]
          : undefined;
    if (next === undefined) return here.key;
    here = next;
  }
  return part === 'value' && here.kind === 'scalar' ? here.at : here.key;
}
