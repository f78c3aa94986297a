import { type BigIntStats, chmodSync, lstatSync, mkdirSync, readdirSync, readlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** What says in a layer archive that a path of the layers below is gone (OCI image specification, layer.md). */
const WHITEOUT = '.wh.';

/** Every path below a folder, without the folder itself; what `left` matches is skipped with everything below it. */
export function pathsIn(root: string, left: (path: string) => boolean = () => false): Map<string, BigIntStats> {
  const found = new Map<string, BigIntStats>();
  const visit = (folder: string): void => {
    for (const name of readdirSync(join(root, folder)).sort()) {
      const path = folder === '' ? name : `${folder}/${name}`;
      if (left(path)) continue;
      const stats = lstatSync(join(root, path), { bigint: true });
      found.set(path, stats);
      if (stats.isDirectory()) visit(path);
    }
  };
  visit('');
  return found;
}

/** A matcher for paths without a leading slash: `*` stands for anything within one name. */
export function matcher(patterns: readonly string[]): (path: string) => boolean {
  const escaped = patterns.map((pattern) => pattern.replace(/[.+?^${}()|[\]\\]/g, '\\$&').replaceAll('*', '[^/]*'));
  const expression = new RegExp(`^(?:${escaped.join('|')})$`);
  return (path) => expression.test(path);
}

function differs(path: string, before: BigIntStats, after: BigIntStats, roots: readonly [string, string]): boolean {
  if (before.mode !== after.mode || before.uid !== after.uid || before.gid !== after.gid) return true;
  if (after.isDirectory()) return false;
  if (after.isSymbolicLink()) return readlinkSync(join(roots[0], path)) !== readlinkSync(join(roots[1], path));
  return before.size !== after.size || before.mtimeNs !== after.mtimeNs;
}

/**
 * The paths a layer needs to turn the tree `below` into the tree `above`, parents first. Files that are gone get their
 * whiteout written into `above`, which is therefore no longer the tree it was.
 */
export function difference(below: string, above: string, left: (path: string) => boolean): string[] {
  const before = pathsIn(below, left);
  const after = pathsIn(above, left);
  const chosen = new Set<string>();
  // The engine gives a parent that is missing from a layer the mode 0600, which hides what the layers below have there.
  const choose = (path: string): void => {
    for (let parent = dirname(path); parent !== '.'; parent = dirname(parent)) chosen.add(parent);
    chosen.add(path);
  };
  for (const [path, stats] of after) {
    const known = before.get(path);
    if (known === undefined || differs(path, known, stats, [below, above])) choose(path);
  }
  for (const path of before.keys()) {
    const parent = dirname(path);
    const gone = !after.has(path) && (parent === '.' || after.get(parent)?.isDirectory() === true);
    if (!gone) continue;
    const whiteout = join(parent, WHITEOUT + path.slice(path.lastIndexOf('/') + 1));
    writeFileSync(join(above, whiteout), '');
    choose(whiteout);
  }
  return [...chosen].sort();
}

/** Makes a folder and its parents, each with mode 0755 whatever the umask. */
export function makeFolder(folder: string): void {
  const first = mkdirSync(folder, { recursive: true });
  if (first === undefined) return;
  for (let made = folder; made.length >= first.length; made = dirname(made)) chmodSync(made, 0o755);
}
