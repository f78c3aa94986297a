import { setTimeout as sleep } from 'node:timers/promises';
import type { WatchFigures } from '#protocol/release';
import type { Host } from '#resources/resource';
import { type AccessLog, figuresOf, ofServing, type Request } from './access-log.ts';
import { inspectAll, nameOf } from './containers.ts';
import { otherSlot, type Slot } from './slots.ts';

/** Milliseconds between looks. */
const PAUSE = 250;

/** The limits, each far from what an app does from one minute to the next. */
const LIMITS = {
  /** Fewer errors than these are nothing to go by. */
  errors: 3,
  /** Points by which the share of errors may be above the old slot's. */
  share: 0.05,
  /** Requests of each slot below which latency is not compared. */
  requests: 30,
  /** Times the old slot's median, plus seconds: a new process is slow at first. */
  times: 3,
  seconds: 0.2,
} as const;

const percent = (share: number): string => `${Math.round(share * 1000) / 10} %`;
const milliseconds = (seconds: number): string => `${Math.round(seconds * 1000)} ms`;

/** The figures that a new slot is held against, and when they were seen, in the words of a sentence. */
export interface Measure {
  readonly when: 'before' | 'in the old slot';
  /** `seen`: all requests since the watch began. */
  figures(seen: readonly Request[]): Promise<WatchFigures>;
}

/** Why the new slot is worse than the old one; undefined where it is not. Latency counts only at the window's end. */
export function judge(
  now: WatchFigures,
  then: WatchFigures,
  isOver: boolean,
  when: Measure['when'] = 'before',
): string | undefined {
  const share = now.requests === 0 ? 0 : now.errors / now.requests;
  const was = then.requests === 0 ? 0 : then.errors / then.requests;
  if (now.errors >= LIMITS.errors && share > was + LIMITS.share) {
    return `${now.errors} of ${now.requests} requests (${percent(share)}) ended with 5xx, ${percent(was)} did ${when}`;
  }
  const isKnown = now.requests >= LIMITS.requests && then.requests >= LIMITS.requests;
  if (isOver && isKnown && now.p50 > then.p50 * LIMITS.times + LIMITS.seconds) {
    return `half of the requests took longer than ${milliseconds(now.p50)}, ${when} it was ${milliseconds(then.p50)}`;
  }
  return undefined;
}

/** What a watch has seen, and why it was not content. */
export interface Watched {
  readonly now: WatchFigures;
  readonly before: WatchFigures;
  readonly seconds: number;
  readonly bad: string | undefined;
  readonly seen: readonly Request[];
}

/** How often Docker has started containers of a project again, and one that it does not start again. */
export async function restartsIn(
  host: Host,
  project: string,
): Promise<{ readonly count: number; readonly ended: string | undefined }> {
  const containers = await inspectAll(host, project);
  const ended = containers.find(({ State }) => State.Status === 'exited' || State.Status === 'dead');
  return {
    count: containers.reduce((sum, { RestartCount }) => sum + RestartCount, 0),
    ended: ended === undefined ? undefined : nameOf(ended),
  };
}

/** What the other slot did before a flip, out of the requests before it. */
export function beforeFlip(earlier: readonly Request[], slot: Slot): Measure {
  const figures = figuresOf(ofServing(earlier, slot), otherSlot(slot), 0);
  return { when: 'before', figures: async () => figures };
}

/** What the other slot does in the same window. */
export async function meanwhile(host: Host, project: string, slot: Slot): Promise<Measure> {
  const first = await restartsIn(host, project);
  return {
    when: 'in the old slot',
    figures: async (seen) => figuresOf(seen, slot, (await restartsIn(host, project)).count - first.count),
  };
}

/**
 * Watches a slot that requests go to since a moment ago, for a window in seconds, against what the other slot did or
 * does. Ends early where it is over the limit or somebody asks for it.
 */
export async function watch(
  host: Host,
  project: string,
  slot: Slot,
  options: {
    readonly seconds: number;
    readonly log: AccessLog;
    readonly measure: Measure;
    /** Why somebody wants it back, once somebody does. */
    readonly unwanted: () => string | undefined;
  },
): Promise<Watched> {
  const { seconds, log, measure, unwanted } = options;
  const started = performance.now();
  const first = await restartsIn(host, project);
  const seen: Request[] = [];

  for (;;) {
    const spent = (performance.now() - started) / 1000;
    const isOver = spent >= seconds;
    seen.push(...(await log.read()));
    const { count, ended } = await restartsIn(host, project);
    const now = figuresOf(seen, slot, count - first.count);
    const before = await measure.figures(seen);
    // What had the old slot crash too, such as a database that went away, is no fault of the new one.
    const crashed = ended ?? (now.restarts > before.restarts ? `a container of ${project}` : undefined);
    const judged =
      crashed === undefined
        ? judge(now, before, isOver, measure.when)
        : `${crashed} crashed${measure.when === 'before' ? ' after the flip' : ''}`;
    const bad = unwanted() ?? judged;
    if (bad !== undefined || isOver) return { now, before, seconds: spent, bad, seen };
    await sleep(PAUSE);
  }
}
