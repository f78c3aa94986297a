import { open, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { gapsIn, parseWalName, segmentNumber, startOfSegment } from './archive.ts';
import { formatLsn, type Lsn } from './lsn.ts';

/** The log of one generation as it lies on the host. */
export interface LocalLog {
  readonly folder: string;
  readonly segmentBytes: number;
  /** Closed segments in order. */
  readonly segments: readonly string[];
  /** The segment whose beginning there is. */
  readonly begun?: string;
  readonly histories: readonly string[];
}

/** The order of segments: that of their positions, and within one that of timelines. */
export function bySegment(segmentBytes: number): (one: string, other: string) => number {
  return (one, other) => {
    const apart = segmentNumber(one, segmentBytes) - segmentNumber(other, segmentBytes);
    return apart === 0n ? (one < other ? -1 : one === other ? 0 : 1) : apart < 0n ? -1 : 1;
  };
}

/** Reads which log of a generation lies on the host. */
export async function readLocal(folder: string, segmentBytes: number): Promise<LocalLog> {
  const names = (await readdir(folder).catch(() => [])).flatMap((name) => {
    const parsed = parseWalName(name);
    return parsed === undefined ? [] : [{ name, parsed }];
  });
  const order = bySegment(segmentBytes);
  const segments = names.flatMap(({ name, parsed }) => (parsed.kind === 'segment' ? [name] : [])).sort(order);
  const begun = names
    .flatMap(({ parsed }) => (parsed.kind === 'partial' ? [parsed.file] : []))
    .sort(order)
    .at(-1);
  const histories = names.flatMap(({ name, parsed }) => (parsed.kind === 'history' ? [name] : [])).sort();
  return { folder, segmentBytes, segments, histories, ...(begun === undefined ? {} : { begun }) };
}

/**
 * The closed segments that follow what has arrived elsewhere, the last segment and up to where with its beginnings, and
 * why they do not follow where they do not: what lies between was lost on the host.
 */
export function unshipped(
  { segments, begun, segmentBytes }: Omit<LocalLog, 'folder' | 'histories'>,
  { segment: last, reaches }: { readonly segment?: string; readonly reaches: Lsn },
): { readonly segments: readonly string[]; readonly hole?: string } {
  const order = bySegment(segmentBytes);
  const after = last === undefined ? segments : segments.filter((file) => order(last, file) < 0);
  const chain = [...(last === undefined ? [] : [last]), ...after];
  // A segment that has begun may go on where the last one ended, or within it on another timeline.
  const all = begun === undefined || (last !== undefined && order(begun, last) <= 0) ? chain : [...chain, begun];
  const [first] = all;
  if (reaches > 0n && first !== undefined && startOfSegment(first, segmentBytes) > reaches) {
    return { segments: [], hole: `between ${formatLsn(reaches)} and ${first} log was lost before it was copied` };
  }
  const [gap] = gapsIn(all, segmentBytes);
  if (gap === undefined) return { segments: after };
  const upTo = after.filter((file) => order(file, gap.before) < 0);
  return { segments: upTo, hole: `between ${gap.after} and ${gap.before} log was lost before it was copied` };
}

/** Up to where a file that was filled with zeros beforehand has content, as a position in the log. */
export async function contentEnd(folder: string, begun: string, segmentBytes: number): Promise<Lsn | undefined> {
  const file = await open(join(folder, `${begun}.partial`), 'r').catch(() => undefined);
  if (file === undefined) return undefined;
  try {
    const chunk = Buffer.alloc(1 << 20);
    const zeros = Buffer.alloc(1 << 20);
    for (let end = (await file.stat()).size; end > 0; ) {
      const from = Math.max(0, end - chunk.length);
      const { bytesRead } = await file.read(chunk, 0, end - from, from);
      if (bytesRead === 0 || chunk.compare(zeros, 0, bytesRead, 0, bytesRead) !== 0) {
        let last = bytesRead;
        while (last > 0 && chunk[last - 1] === 0) last -= 1;
        return startOfSegment(begun, segmentBytes) + BigInt(from + last);
      }
      end = from;
    }
    return startOfSegment(begun, segmentBytes);
  } finally {
    await file.close();
  }
}

/** Milliseconds for which closed segments stay on the host beside their copies. */
export const STAY = 24 * 3600 * 1000;

/** The closed segments that may go from the host: copied everywhere, old, and not the newest, which receiving goes on from. */
export async function removable(
  { folder, segments, segmentBytes }: LocalLog,
  arrived: readonly (string | undefined)[],
  { now, scarce }: { readonly now: number; readonly scarce: boolean },
): Promise<readonly string[]> {
  const order = bySegment(segmentBytes);
  const everywhere = segments.filter((file) => arrived.every((last) => last !== undefined && order(file, last) <= 0));
  const old: string[] = [];
  for (const file of everywhere.filter((one) => one !== segments.at(-1))) {
    const made = (await stat(join(folder, file)).catch(() => undefined))?.mtimeMs ?? now;
    if (scarce || now - made > STAY) old.push(file);
  }
  return old;
}

/** Removes files of a folder. */
export async function removeFrom(folder: string, names: readonly string[]): Promise<void> {
  await Promise.all(names.map((name) => rm(join(folder, name), { force: true })));
}
