import { readFileSync } from 'node:fs';

/** How a request is made; `events` and `websocket` live until somebody closes them, all others end by themselves. */
export const KINDS = ['keep-alive', 'http2', 'fresh', 'slow', 'stream', 'events', 'websocket'] as const;

export type Kind = (typeof KINDS)[number];

/** One request that was sent, and what became of it. Times are milliseconds since the epoch. */
export interface Entry {
  readonly kind: Kind;
  /** When it was due: latency counts from here, so that a stall shows in all that should have been sent meanwhile. */
  readonly due: number;
  /** When it went out. */
  readonly sent: number;
  readonly ended: number;
  /** The release that answered. */
  readonly tag?: string;
  readonly status?: number;
  /** Why it failed; none where it was answered as it should be. */
  readonly failure?: string;
  /** A 503 that says when to come back: what maintenance answers. */
  readonly turnedAway?: true;
  /** Sent once more, since it was known to have had no effect: a refused stream, a message on a socket that was closed. */
  readonly retried?: true;
}

/** What a load came to. */
export interface LoadReport {
  readonly seconds: number;
  readonly sent: number;
  readonly answered: number;
  readonly turnedAway: number;
  readonly retried: number;
  readonly failed: number;
  /** Failed requests by their cause. */
  readonly causes: Readonly<Record<string, number>>;
  readonly kinds: Readonly<Partial<Record<Kind, { readonly sent: number; readonly failed: number }>>>;
  /** Requests by the release that answered them. */
  readonly tags: Readonly<Record<string, number>>;
  /** Milliseconds from when a request was due, for those the app answers at once. */
  readonly latency: { readonly p50: number; readonly p99: number; readonly most: number };
  /** Who answered what was sent in each tenth of a second that had anything in it. */
  readonly timeline: readonly TimelinePoint[];
}

interface TimelinePoint {
  /** Milliseconds since the first request was due. */
  readonly at: number;
  readonly tags: Readonly<Record<string, number>>;
  readonly failed?: number;
}

const STEP = 100;

/** The kinds that the app answers at once, and that any release may answer at any time. */
const QUICK: readonly Kind[] = ['keep-alive', 'http2', 'fresh'];

/** Whether the app answers this at once, from whichever release is live when it arrives. */
export function isQuick({ kind }: Entry): boolean {
  return QUICK.includes(kind);
}

/** Reads what a load wrote down. */
export function readEntries(file: string): readonly Entry[] {
  return readFileSync(file, 'utf8')
    .split('\n')
    .flatMap((line) => (line === '' ? [] : [JSON.parse(line) as Entry]));
}

function tally(names: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const name of names) counts[name] = (counts[name] ?? 0) + 1;
  return counts;
}

/** A quantile of the latencies of what was answered at once, in milliseconds; 0 where nothing was. */
export function latencyOf(entries: readonly Entry[], quantile: number): number {
  const sorted = entries
    .filter((entry) => isQuick(entry) && entry.failure === undefined)
    .map(({ due, ended }) => ended - due)
    .sort((a, b) => a - b);
  return Math.round(10 * (sorted[Math.min(sorted.length - 1, Math.floor(quantile * sorted.length))] ?? 0)) / 10;
}

function timelineOf(entries: readonly Entry[], start: number): readonly TimelinePoint[] {
  const steps = new Map<number, Entry[]>();
  for (const entry of entries) {
    const step = Math.floor((entry.sent - start) / STEP);
    const there = steps.get(step);
    if (there === undefined) steps.set(step, [entry]);
    else there.push(entry);
  }
  return [...steps]
    .sort(([a], [b]) => a - b)
    .map(([step, content]) => {
      const failed = content.filter(({ failure }) => failure !== undefined).length;
      const tags = tally(content.flatMap(({ tag, failure }) => (failure === undefined ? (tag ?? []) : [])));
      return { at: step * STEP, tags, ...(failed === 0 ? {} : { failed }) };
    });
}

/** Sums a load up. */
export function summarize(entries: readonly Entry[]): LoadReport {
  const failures = entries.flatMap(({ failure }) => failure ?? []);
  const turnedAway = entries.filter((entry) => entry.turnedAway === true).length;
  const start = Math.min(...entries.slice(0, 1000).map(({ due }) => due));
  let end = start;
  for (const { ended } of entries) end = Math.max(end, ended);
  const kinds = KINDS.flatMap((kind) => {
    const own = entries.filter((entry) => entry.kind === kind);
    const failed = own.filter(({ failure }) => failure !== undefined).length;
    return own.length === 0 ? [] : [[kind, { sent: own.length, failed }] as const];
  });
  return {
    seconds: Math.round((end - start) / 100) / 10,
    sent: entries.length,
    answered: entries.length - failures.length - turnedAway,
    turnedAway,
    retried: entries.filter(({ retried }) => retried === true).length,
    failed: failures.length,
    causes: tally(failures),
    kinds: Object.fromEntries(kinds),
    tags: tally(entries.flatMap(({ tag }) => tag ?? [])),
    latency: { p50: latencyOf(entries, 0.5), p99: latencyOf(entries, 0.99), most: latencyOf(entries, 1) },
    timeline: timelineOf(entries, start),
  };
}

/**
 * The moment from which on nothing that was sent was answered by any release but this one, among what was sent after
 * `since`; undefined where the last answer is another's.
 */
export function allFrom(entries: readonly Entry[], tag: string, since: number): number | undefined {
  const answered = entries.filter((entry) => isQuick(entry) && entry.tag !== undefined && entry.sent >= since);
  const others = answered.filter((entry) => entry.tag !== tag).map(({ sent }) => sent);
  const last = Math.max(since, ...others);
  const after = answered.filter((entry) => entry.tag === tag && entry.sent > last).map(({ sent }) => sent);
  return after.length === 0 ? undefined : Math.min(...after);
}
