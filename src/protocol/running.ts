import * as z from 'zod';
import { canarySchema, RELEASE_STATES, slotSchema } from '#protocol/release';

/** What may be asked of an app that runs, without a change to what it is. */
export const runningRequests = [
  z.strictObject({ verb: z.literal('status'), app: z.string() }),
  z.strictObject({
    verb: z.literal('logs'),
    app: z.string(),
    /** A service or an accessory; all services where left out. */
    target: z.string().optional(),
    /** Whether what comes later is told too, until the laptop leaves. */
    follow: z.boolean(),
    /** Seconds back from now, by the host's clock. */
    since: z.number().positive().optional(),
    /** The last lines of each container. */
    lines: z.number().int().nonnegative().optional(),
  }),
  z.strictObject({
    verb: z.literal('maintenance'),
    app: z.string(),
    environment: z.string(),
    /** Who asks, as `user@machine`. */
    by: z.string(),
    on: z.boolean(),
    /** Addresses that are let through, besides those of the inventory. */
    allow: z.array(z.union([z.ipv4(), z.ipv6()])),
  }),
] as const;
export type RunningRequest = z.infer<(typeof runningRequests)[number]>;

/** Maintenance as it is switched on: by whom, since when (ISO 8601), and who is let through besides the inventory's. */
export const maintenanceSchema = z.strictObject({ since: z.string(), by: z.string(), allow: z.array(z.string()) });
export type Maintenance = z.infer<typeof maintenanceSchema>;

const occupied = z.strictObject({ release: z.string(), tag: z.string(), slot: slotSchema });

const container = z.strictObject({
  name: z.string(),
  /** The service or the accessory, as the inventory names it. */
  service: z.string(),
  /** `blue`, `green`, `workers`, or `accessory`. */
  part: z.string(),
  /** As Docker says: `running`, `exited`, … */
  state: z.string(),
  /** `healthy`, `unhealthy`, `starting`; left out where the container has no health check. */
  health: z.string().optional(),
  /** ISO 8601: when it was started last. */
  startedAt: z.string().optional(),
  /** How often Docker has started it again by itself. */
  restarts: z.number().int(),
  image: z.string(),
});
export type RunningContainer = z.infer<typeof container>;

/** What is told of an app that runs. */
export const runningEvents = [
  z.strictObject({
    type: z.literal('status.read'),
    app: z.string(),
    live: occupied.optional(),
    /** What some of the clients get; `percent` and the rest say how many, and since when. */
    canary: occupied.extend(canarySchema.shape).optional(),
    warm: occupied.optional(),
    /** A release that a killed run has left on its way. */
    interrupted: z.strictObject({ release: z.string(), tag: z.string(), state: z.enum(RELEASE_STATES) }).optional(),
    containers: z.array(container),
    /** Left out where the app serves. */
    maintenance: maintenanceSchema.optional(),
    /** Who is at work on the host. */
    busy: z.strictObject({ operation: z.string(), verb: z.string(), by: z.string(), since: z.string() }).optional(),
    certificates: z.array(z.strictObject({ domain: z.string(), ends: z.string() })),
    /** Left out where none are declared. */
    backups: z
      .strictObject({
        /** What is wrong, each for a person. */
        alarms: z.array(z.string()),
      })
      .optional(),
    disk: z.strictObject({ freeBytes: z.number(), totalBytes: z.number() }),
  }),
  z.strictObject({
    type: z.literal('log.line'),
    container: z.string(),
    stream: z.enum(['stdout', 'stderr']),
    /** ISO 8601: when the container wrote it. */
    written: z.string(),
    text: z.string(),
  }),
  z.strictObject({
    type: z.literal('maintenance.switched'),
    app: z.string(),
    /** Left out where the app serves again. */
    maintenance: maintenanceSchema.optional(),
  }),
] as const;
