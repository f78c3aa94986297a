import * as z from 'zod';

/**
 * How far a release has come. Each is on the host's disk before the next begins: whatever ends a run before `flipped` is
 * undone by the next operation, at `flipped` and after it is finished. A release that is paused at `canary` stays there
 * until somebody says what becomes of it.
 */
export const RELEASE_STATES = [
  'preflight',
  'pulled',
  'commanded',
  'held',
  'started',
  'gated',
  'canary',
  'flipped',
  'watched',
  'drained',
  'done',
  'rejected',
  'taken-back',
] as const;
export type ReleaseState = (typeof RELEASE_STATES)[number];

export const slotSchema = z.enum(['blue', 'green']);

/** Who asks, of which app; `by` is `user@machine`. */
const asked = { app: z.string(), environment: z.string(), by: z.string() };

/** Another host runs the release command: wait for the laptop's word before the new slot is started. */
const commandElsewhere = z.boolean().optional();

/** How what is released on a host goes together with what is released on others; alone where both are left out. */
export const together = { hold: z.boolean().optional(), commandElsewhere } as const;

/** What may be asked of an app's releases. */
export const releaseRequests = [
  z.strictObject({
    verb: z.literal('release'),
    ...asked,
    /** The properties of the one resource of kind `release`; checked by the kind's own schema on the host. */
    release: z.record(z.string(), z.unknown()),
    /** Values that must never be shown. */
    secrets: z.array(z.string()),
    /** Stop after the gate, say `release.ready` and wait for the laptop's word. */
    hold: z.boolean(),
    commandElsewhere,
    /** End after each step of the canary, and leave the release there until `canary` says how it goes on. */
    pause: z.boolean().optional(),
    /** Its images are not those that the inventory names. */
    departs: z.boolean().optional(),
  }),
  z.strictObject({
    verb: z.literal('canary'),
    ...asked,
    /** To the next step of a paused canary, or to all clients after the last; or back to none. */
    action: z.enum(['promote', 'abort']),
    /** As for `release`, before anything is changed. */
    hold: z.boolean(),
  }),
  z.strictObject({
    verb: z.literal('rollback'),
    ...asked,
    /** A release's id or tag; the one that served before where left out. */
    to: z.string().optional(),
    /** As for `release`. A rollback to the warm slot has nothing to gate, and is ready at once. */
    hold: z.boolean().optional(),
  }),
  z.strictObject({ verb: z.literal('releases'), app: z.string() }),
  z.strictObject({
    verb: z.literal('history'),
    app: z.string(),
    /** Whether every entry's hash is computed again. */
    verify: z.boolean(),
  }),
] as const;

/**
 * What the laptop says to a release that goes together with others: `start` once the release command has ended on the
 * host that runs it, `flip` once all are ready, and `here` every few seconds, since a connection may break without a
 * sign. `abort` is heard until the watch is over: before the flip it undoes the release, afterwards it takes it back. A
 * laptop that leaves or falls silent before the flip has aborted it, one that does later not.
 */
export const releaseWordSchema = z.strictObject({ release: z.enum(['start', 'flip', 'abort', 'here']) });
export type ReleaseWord = z.infer<typeof releaseWordSchema>;

/** The share of all clients that a release gets before it gets them all. */
export const canarySchema = z.strictObject({
  percent: z.number().int(),
  /** The share after the next promotion; left out where that is all. */
  next: z.number().int().optional(),
  /** ISO 8601: since when it gets this share. */
  since: z.string(),
  /** Whether it waits for somebody to promote or abort it; else a run is under way. */
  paused: z.boolean(),
});
export type Canary = z.infer<typeof canarySchema>;

/** A release as `releases.listed` names it. */
export const listedReleaseSchema = z.strictObject({
  id: z.string(),
  tag: z.string(),
  /** ISO 8601. */
  createdAt: z.string(),
  by: z.string(),
  /** The image of each service, by its digest where one is known. */
  services: z.record(z.string(), z.string()),
  state: z.enum(['live', 'canary', 'warm', 'kept', 'failed']),
  /** How far it has come among the clients, where its state is `canary`. */
  canary: canarySchema.optional(),
  /** The release that served when this one came. */
  previous: z.string().optional(),
  /** ISO 8601: when the data was marked before this one began, up to which a rollback with the database goes back. */
  marked: z.string().optional(),
});
export type ListedRelease = z.infer<typeof listedReleaseSchema>;

/** One line of the ledger. */
export const ledgerEntrySchema = z.strictObject({
  /** Counted from 1. */
  seq: z.number().int(),
  at: z.string(),
  who: z.string(),
  /** `up`, `release`, `rollback`, … */
  op: z.string(),
  args: z.record(z.string(), z.unknown()),
  /** `done`, or the code of the error it ended with, or `interrupted`. */
  result: z.string(),
  /** The hash of the line before; empty for the first. */
  previousHash: z.string(),
  hash: z.string(),
});
export type LedgerEntry = z.infer<typeof ledgerEntrySchema>;

/** What one side of a watch was seen to do. */
export const watchFigures = z.strictObject({
  requests: z.number().int(),
  /** Answers of 500 and above, and requests that got none. */
  errors: z.number().int(),
  /** Seconds until the answer: half of them, and 99 in 100, were quicker. */
  p50: z.number(),
  p99: z.number(),
  /** Containers that were started again. */
  restarts: z.number().int(),
});
export type WatchFigures = z.infer<typeof watchFigures>;

const release = { app: z.string(), release: z.string(), tag: z.string() };

/** What is told of releases. */
export const releaseEvents = [
  z.strictObject({
    type: z.literal('release.state'),
    ...release,
    slot: slotSchema,
    state: z.enum(RELEASE_STATES),
  }),
  /** The new slot answers well; the flip waits for the laptop's word. */
  z.strictObject({ type: z.literal('release.ready'), ...release, slot: slotSchema }),
  /** Requests of so many clients in a hundred go to the release from now on. */
  z.strictObject({
    type: z.literal('release.canary'),
    ...release,
    slot: slotSchema,
    percent: z.number().int(),
    /** The tag that the other clients get. */
    from: z.string(),
  }),
  /** The canary stays at its share, and the operation is over. */
  z.strictObject({ type: z.literal('release.paused'), ...release, canary: canarySchema }),
  /** All new requests go to the release from now on. */
  z.strictObject({
    type: z.literal('release.flipped'),
    ...release,
    slot: slotSchema,
    /** The tag that served until now. */
    from: z.string().optional(),
    /** Seconds since the operation began. */
    seconds: z.number(),
  }),
  /** The requests that waited while what cannot run twice was swapped go on, after so many seconds. */
  z.strictObject({
    type: z.literal('release.resumed'),
    /** The release that serves them. */
    ...release,
    seconds: z.number(),
  }),
  /**
   * What the new slot did in the watch's window, and what the old one had done before it: in a canary, what the old one
   * did in the same window.
   */
  z.strictObject({
    type: z.literal('release.watched'),
    ...release,
    seconds: z.number(),
    /** The share of all clients that the new slot had, in percent, where it had not all. */
    percent: z.number().int().optional(),
    now: watchFigures,
    before: watchFigures,
  }),
  /** Requests go to the release that served before again. */
  z.strictObject({ type: z.literal('release.taken-back'), ...release, why: z.string() }),
  /** The old slot's requests have ended; `left` connections had not when their time was over. */
  z.strictObject({
    type: z.literal('release.drained'),
    /** The release that was drained. */
    ...release,
    left: z.number().int(),
    seconds: z.number(),
  }),
  /** A line that the build of an image on the host has said. */
  z.strictObject({ type: z.literal('build.output'), image: z.string(), line: z.string() }),
  z.strictObject({
    type: z.literal('releases.listed'),
    app: z.string(),
    live: z.string().optional(),
    /** The release that a rollback reaches by one rename. */
    warm: z.string().optional(),
    /** Newest first. */
    releases: z.array(listedReleaseSchema),
  }),
  z.strictObject({
    type: z.literal('ledger.read'),
    app: z.string(),
    entries: z.array(ledgerEntrySchema),
    /** The first entry that is not as it was written. */
    broken: z.strictObject({ seq: z.number().int(), why: z.string() }).optional(),
  }),
] as const;
