import * as z from 'zod';
import { answerSchema } from '#protocol/audit';
import { backupEvents } from '#protocol/backup';
import { factsSchema } from '#protocol/facts';
import { changeSchema, stepSchema, triggerSchema, waySchema } from '#protocol/plan';
import { releaseEvents } from '#protocol/release';
import { runningEvents } from '#protocol/running';

const errorSchema = z.strictObject({
  code: z.string(),
  message: z.string(),
  hint: z.string(),
  resource: z.string().optional(),
});

/** Everything that can be told of an operation. What a person sees is rendered from these and from nothing else. */
const bodies = [
  /** The first line of a session: what the host is, and whether somebody is at work on it. */
  z.strictObject({
    type: z.literal('hello'),
    version: z.string(),
    facts: factsSchema,
    busy: z.string().optional(),
  }),
  z.strictObject({
    type: z.literal('operation.started'),
    verb: z.string(),
    app: z.string(),
    environment: z.string(),
    by: z.string(),
  }),
  z.strictObject({
    type: z.literal('plan'),
    steps: z.array(stepSchema),
    unchanged: z.number(),
  }),
  z.strictObject({
    type: z.literal('resource.started'),
    resource: z.string(),
    playbook: z.string(),
  }),
  z.strictObject({
    type: z.literal('resource.changed'),
    resource: z.string(),
    playbook: z.string(),
    changes: z.array(changeSchema),
    /** Seconds. */
    duration: z.number(),
  }),
  z.strictObject({
    type: z.literal('resource.removed'),
    resource: z.string(),
    playbook: z.string(),
  }),
  z.strictObject({ type: z.literal('trigger.fired'), trigger: triggerSchema }),
  /** What an audit found to be in effect. */
  z.strictObject({ type: z.literal('audit.answered'), answers: z.array(answerSchema) }),
  /** Something a person waiting should know: another process holds the apt lock, a download is under way. */
  z.strictObject({
    type: z.literal('progress'),
    message: z.string(),
    resource: z.string().optional(),
  }),
  z.strictObject({
    type: z.literal('warning'),
    message: z.string(),
    hint: z.string().optional(),
    resource: z.string().optional(),
  }),
  /** Before the first change that could lock the owner out: over which addresses does a fresh login work now? */
  z.strictObject({ type: z.literal('guard.ways-wanted'), seconds: z.number() }),
  /** The dead man's switch is set: unless fresh logins prove access within `seconds`, the host undoes the change. */
  z.strictObject({
    type: z.literal('guard.armed'),
    guard: z.string(),
    seconds: z.number(),
    user: z.string(),
    ways: z.array(waySchema),
  }),
  z.strictObject({
    type: z.literal('guard.proof-wanted'),
    guard: z.string(),
    seconds: z.number(),
    user: z.string(),
    ways: z.array(waySchema),
  }),
  z.strictObject({
    type: z.literal('guard.disarmed'),
    guard: z.string(),
    user: z.string(),
    proven: z.array(waySchema.extend({ through: z.enum(['fresh', 'open']) })),
  }),
  z.strictObject({
    type: z.literal('guard.undone'),
    guard: z.string(),
    reason: z.string(),
  }),
  ...releaseEvents,
  ...runningEvents,
  ...backupEvents,
  z.strictObject({
    type: z.literal('operation.finished'),
    changed: z.number(),
    unchanged: z.number(),
    removed: z.number(),
    duration: z.number(),
  }),
  z.strictObject({
    type: z.literal('operation.failed'),
    error: errorSchema,
    changed: z.number(),
    duration: z.number(),
  }),
] as const;

const stamp = {
  /** ISO 8601 by the clock of whoever wrote the event. */
  at: z.string(),
  /** The host as the inventory names it; added on the laptop. */
  host: z.string().optional(),
  /** The operation the event belongs to. */
  operation: z.string().optional(),
};

export const eventBodySchema = z.discriminatedUnion('type', bodies);
export type EventBody = z.infer<typeof eventBodySchema>;

/** One line of an operation's event log and of `--json`. */
export type Event = EventBody & {
  at: string;
  host?: string | undefined;
  operation?: string | undefined;
};

const eventSchema = z.intersection(eventBodySchema, z.object(stamp));

/** An event from one line of NDJSON; undefined where the line is none. */
export function parseEvent(line: string): Event | undefined {
  try {
    return eventSchema.parse(JSON.parse(line)) as Event;
  } catch {
    return undefined;
  }
}
