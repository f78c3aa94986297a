import { DeployError } from '#core/errors';
import type { Origin, Path } from '#inventory/tree';

/** One thing that is wrong with an inventory, in the form `--json` prints. */
export interface Problem {
  /** The key it is about, like `services.web.image`; empty where it is the file as a whole. */
  readonly path: string;
  /** Relative to the project. */
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly message: string;
}

/** All that is wrong with an inventory, at once. */
export class InventoryError extends DeployError {
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[], files: readonly string[]) {
    const count = problems.length === 1 ? '1 problem' : `${problems.length} problems`;
    super('inventory-invalid', `${files[0] ?? 'The inventory'} has ${count}:\n\n${problems.map(line).join('\n')}`, {
      hint: 'Correct the lines above and run the same command again; inventory/example.yaml explains every key.',
    });
    this.problems = problems;
  }
}

function line({ file, line, column, path, message }: Problem): string {
  return [`  ${file}:${line}:${column}`, ...(path === '' ? [] : [path]), message].join('  ');
}

/** A path as people read it: `services.web.command[0]`, `routes["shop.example.com"]`. */
export function showPath(path: Path): string {
  return path.reduce<string>((shown, step) => {
    if (typeof step === 'number') return `${shown}[${step}]`;
    if (!/^[A-Za-z0-9_-]+$/.test(step)) return `${shown}[${JSON.stringify(step)}]`;
    return shown === '' ? step : `${shown}.${step}`;
  }, '');
}

/** A problem from its parts. */
export function problemAt(path: Path, origin: Origin, message: string): Problem {
  return { path: showPath(path), file: origin.file, line: origin.line, column: origin.column, message };
}

/** Edits between two words: insertions, deletions, substitutions and swaps of neighbours (optimal string alignment). */
function distance(a: string, b: string): number {
  let before: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i += 1) {
    const current = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const substitution = (previous[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      let best = Math.min((previous[j] ?? 0) + 1, (current[j - 1] ?? 0) + 1, substitution);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        best = Math.min(best, (before[j - 2] ?? 0) + 1);
      current.push(best);
    }
    before = previous;
    previous = current;
  }
  return previous[b.length] ?? 0;
}

const bare = (word: string): string => word.toLowerCase().replaceAll(/[-_\s]/g, '');

/** The known word a person most likely meant; undefined where none is near. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  const ranked = known
    .map((candidate) => ({ candidate, edits: distance(bare(word), bare(candidate)) }))
    .sort((a, b) => a.edits - b.edits);
  const best = ranked[0];
  return best !== undefined && best.edits <= Math.floor(word.length / 3) ? best.candidate : undefined;
}

/** What follows "unknown": the nearest known word, else all of them where they are few. */
export function suggest(word: string, known: readonly string[]): string {
  const near = nearest(word, known);
  if (near !== undefined) return `; did you mean "${near}"?`;
  return known.length > 0 && known.length <= 14 ? `; known here: ${known.join(', ')}` : '';
}
