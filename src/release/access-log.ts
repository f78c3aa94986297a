import { open, stat } from 'node:fs/promises';
import type { WatchFigures } from '#protocol/release';
import type { Slot } from './slots.ts';

/** One request as nginx has written it down. */
export interface Request {
  /** Milliseconds since 1970, at the end of the request and cut down to a second. */
  readonly at: number;
  readonly slot: string;
  readonly status: number;
  /** Seconds until the answer was complete. */
  readonly seconds: number;
}

/** How much of the log before the flip is looked at: some 2,000 requests. */
const BACK = 1024 ** 2;

/** Our own questions are no traffic. */
const OURS = /^slipway-/;

/** A line of the log; undefined where it is none, or one of our own questions. */
export function parseLine(line: string): Request | undefined {
  try {
    const { time = '', slot, status, seconds, agent } = JSON.parse(line) as Record<string, string>;
    if (slot === undefined || status === undefined || OURS.test(agent ?? '')) return undefined;
    return { at: Date.parse(time), slot, status: Number(status), seconds: Number(seconds) };
  } catch {
    return undefined;
  }
}

function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}

/** What a slot's requests come to. A request that its client gave up (499) says nothing about the app. */
export function figuresOf(requests: readonly Request[], slot: Slot, restarts: number): WatchFigures {
  const own = requests.filter((request) => request.slot === slot && request.status !== 499);
  const times = own.map(({ seconds }) => seconds).sort((a, b) => a - b);
  return {
    requests: own.length,
    errors: own.filter(({ status }) => status >= 500 || status === 0).length,
    p50: percentile(times, 0.5),
    p99: percentile(times, 0.99),
    restarts,
  };
}

/**
 * The requests that went to the slot which serves, out of those before a flip: not those of the release that stood in it
 * two releases ago, which were made before any that went to the other slot.
 */
export function ofServing(requests: readonly Request[], next: Slot): readonly Request[] {
  return requests.slice(requests.findLastIndex(({ slot }) => slot === next) + 1);
}

/** An app's access log, from a place in it on. */
export class AccessLog {
  readonly #path: string;
  #at: number;
  #inode: number;
  #rest = '';

  private constructor(path: string, at: number, inode: number) {
    this.#path = path;
    this.#at = at;
    this.#inode = inode;
  }

  /** Opens the log a little before its end, so that the first reading tells what was before. */
  static async open(path: string): Promise<AccessLog> {
    const there = await stat(path).catch(() => undefined);
    const log = new AccessLog(path, Math.max(0, (there?.size ?? 0) - BACK), there?.ino ?? 0);
    // It begins within a line, unless it begins at the log's own beginning.
    if (log.#at > 0) log.#rest = '\0';
    return log;
  }

  /** The requests written since the last reading; a log that was rotated meanwhile is read from its beginning. */
  async read(): Promise<readonly Request[]> {
    const file = await open(this.#path, 'r').catch(() => undefined);
    if (file === undefined) return [];
    try {
      const { size, ino } = await file.stat();
      if (ino !== this.#inode || size < this.#at) {
        this.#at = 0;
        this.#rest = '';
        this.#inode = ino;
      }
      const buffer = Buffer.alloc(size - this.#at);
      const { bytesRead } = await file.read(buffer, 0, buffer.length, this.#at);
      this.#at += bytesRead;
      const lines = `${this.#rest}${buffer.toString('utf8', 0, bytesRead)}`.split('\n');
      this.#rest = lines.pop() ?? '';
      return lines.flatMap((line) => parseLine(line) ?? []);
    } finally {
      await file.close();
    }
  }
}
