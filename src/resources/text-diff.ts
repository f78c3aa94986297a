import { structuredPatch } from 'diff';
import type { Change } from '#protocol/plan';

/** The change of a text as a unified diff with three lines of context; empty where nothing differs. */
export function textChange(before: string | undefined, after: string, what = 'content'): readonly Change[] {
  if (before === after) return [];
  const patch = structuredPatch('', '', before ?? '', after, undefined, undefined, { context: 3 });
  const diff = patch.hunks
    .flatMap((hunk) => [`@@ -${hunk.oldStart},${hunk.oldLines} +${hunk.newStart},${hunk.newLines} @@`, ...hunk.lines])
    .join('\n');
  return [{ summary: before === undefined ? 'create' : what, diff }];
}
