import { hex, type Lsn, lsnDigits, lsnOfDigits } from './lsn.ts';

/** One file of write-ahead log: a closed segment, the beginning of one that is still written, or a timeline's history. */
export type WalName =
  | { readonly kind: 'segment'; readonly timeline: number; readonly file: string }
  | {
      readonly kind: 'partial';
      readonly timeline: number;
      /** The name of the segment that it is the beginning of. */
      readonly file: string;
      /** Up to where it has content; left out on the host, where it grows. */
      readonly flushed?: Lsn;
    }
  | { readonly kind: 'history'; readonly timeline: number };

/** Two segments that should follow one another and do not. */
export interface Gap {
  readonly after: string;
  readonly before: string;
}

const SEGMENT = /^([0-9A-F]{8})[0-9A-F]{16}$/;
const PARTIAL = /^(([0-9A-F]{8})[0-9A-F]{16})\.partial(?:-([0-9A-F]{16}))?$/;
const HISTORY = /^([0-9A-F]{8})\.history$/;
const SEAL = /\.[0-9a-f]{16}\.zst\.age$/;

/** The name under which something was sealed, without folders: what a sealed object is called without its seal. */
export function plainName(object: string): string {
  return object.slice(object.lastIndexOf('/') + 1).replace(SEAL, '');
}

/** What a file of the archive or an object holds, by its plain name; undefined where it is no write-ahead log. */
export function parseWalName(plain: string): WalName | undefined {
  const segment = SEGMENT.exec(plain);
  if (segment !== null) return { kind: 'segment', timeline: Number.parseInt(segment[1] ?? '', 16), file: plain };
  const partial = PARTIAL.exec(plain);
  if (partial !== null) {
    const [, file = '', timeline = '', flushed] = partial;
    return {
      ...{ kind: 'partial', timeline: Number.parseInt(timeline, 16), file },
      ...(flushed === undefined ? {} : { flushed: lsnOfDigits(flushed) }),
    };
  }
  const history = HISTORY.exec(plain);
  return history === null ? undefined : { kind: 'history', timeline: Number.parseInt(history[1] ?? '', 16) };
}

/** The plain name of a file of write-ahead log. */
export function printWalName(name: WalName): string {
  switch (name.kind) {
    case 'segment':
      return name.file;
    case 'partial':
      return `${name.file}.partial${name.flushed === undefined ? '' : `-${lsnDigits(name.flushed)}`}`;
    case 'history':
      return `${hex(name.timeline, 8)}.history`;
  }
}

function perHigh(segmentBytes: number): bigint {
  return 0x100000000n / BigInt(segmentBytes);
}

/** The number of a segment by its file's name, counted from the log's beginning, whatever its timeline. */
export function segmentNumber(file: string, segmentBytes: number): bigint {
  return BigInt(`0x${file.slice(8, 16)}`) * perHigh(segmentBytes) + BigInt(`0x${file.slice(16, 24)}`);
}

/** The name of the file that holds a segment of a timeline. */
export function segmentFile(timeline: number, number: bigint, segmentBytes: number): string {
  const high = number / perHigh(segmentBytes);
  return `${hex(timeline, 8)}${hex(high, 8)}${hex(number % perHigh(segmentBytes), 8)}`;
}

/** The name of the file that holds the byte after a position. */
export function segmentAt(timeline: number, lsn: Lsn, segmentBytes: number): string {
  return segmentFile(timeline, lsn / BigInt(segmentBytes), segmentBytes);
}

/** The position of a segment's first byte. */
export function startOfSegment(file: string, segmentBytes: number): Lsn {
  return segmentNumber(file, segmentBytes) * BigInt(segmentBytes);
}

/** The position after a segment's last byte. */
export function endOfSegment(file: string, segmentBytes: number): Lsn {
  return startOfSegment(file, segmentBytes) + BigInt(segmentBytes);
}

/** The name of the segment that follows on the same timeline. */
export function nextSegment(file: string, segmentBytes: number): string {
  return segmentFile(Number.parseInt(file.slice(0, 8), 16), segmentNumber(file, segmentBytes) + 1n, segmentBytes);
}

/**
 * Where closed segments do not follow one another, in order. The segment in which a timeline begins also lies, up to
 * that point, on the timeline it came from: of a segment on several timelines any will do to go on, and a timeline
 * never goes back to an earlier one.
 */
export function gapsIn(files: readonly string[], segmentBytes: number): readonly Gap[] {
  const inOrder = [...new Set(files)].sort((one, other) => {
    const apart = segmentNumber(one, segmentBytes) - segmentNumber(other, segmentBytes);
    return apart === 0n ? (one < other ? -1 : 1) : apart < 0n ? -1 : 1;
  });
  return inOrder.slice(1).flatMap((before, index): Gap[] => {
    const after = inOrder[index] ?? '';
    const step = segmentNumber(before, segmentBytes) - segmentNumber(after, segmentBytes);
    const forward = after.slice(0, 8) <= before.slice(0, 8);
    return step <= 1n && forward ? [] : [{ after, before }];
  });
}
