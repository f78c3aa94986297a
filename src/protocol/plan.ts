import * as z from 'zod';
import { questionSchema } from '#protocol/audit';
import { backupRequests } from '#protocol/backup';
import { releaseRequests, together } from '#protocol/release';
import { runningRequests } from '#protocol/running';

/** What happens to a systemd unit once everything it depends on has changed. */
export const triggerSchema = z.strictObject({
  unit: z.string(),
  action: z.enum(['reload', 'restart']),
});
export type Trigger = z.infer<typeof triggerSchema>;

/** One thing that should be so on a host, as it travels from the laptop. */
export const declarationSchema = z.strictObject({
  kind: z.string(),
  /** Unique within its kind on one host. */
  id: z.string(),
  /** The playbook that declared it: what a person sees the work grouped by. */
  playbook: z.string(),
  /** Checked by the kind's own schema on the host. */
  props: z.record(z.string(), z.unknown()),
  triggers: z.array(triggerSchema),
  /** Its content is never shown: not in a plan, not in an event, not in a log. */
  sensitive: z.boolean(),
});
export type Declaration = z.infer<typeof declarationSchema>;

/** All that one host needs to know to become what the inventory says. */
export const requestSchema = z.discriminatedUnion('verb', [
  z.strictObject({
    verb: z.enum(['plan', 'up']),
    app: z.string(),
    environment: z.string(),
    /** Who asks, as `user@machine`. */
    by: z.string(),
    resources: z.array(declarationSchema),
    /** Values that must never be shown. */
    secrets: z.array(z.string()),
    /** The user a fresh login must succeed as before a guarded change is kept. */
    loginUser: z.string(),
    ...together,
  }),
  z.strictObject({
    verb: z.literal('audit'),
    questions: z.array(questionSchema),
  }),
  z.strictObject({
    verb: z.literal('attach'),
    /** The newest operation where none is named. */
    operation: z.string().optional(),
  }),
  ...releaseRequests,
  ...runningRequests,
  ...backupRequests,
]);
export type Request = z.infer<typeof requestSchema>;
export type ConvergeRequest = Extract<Request, { verb: 'plan' | 'up' }>;
export type ReleaseRequest = Extract<Request, { verb: (typeof releaseRequests)[number]['shape']['verb']['value'] }>;

/** A way in to a host: an address of it, of one family. */
export const waySchema = z.strictObject({ family: z.literal([4, 6]), address: z.string() });
export type Way = z.infer<typeof waySchema>;

/** What the laptop says when it is asked for the ways in: over which a fresh login works now, and over which none does. */
export const waysAnswerSchema = z.strictObject({
  ways: z.array(waySchema),
  broken: z.array(waySchema.extend({ why: z.string() })),
});
export type WaysAnswer = z.infer<typeof waysAnswerSchema>;

/** What the laptop says when the login that a guard waits for has failed. */
export const proofRefusalSchema = z.strictObject({
  guard: z.string(),
  family: z.literal([4, 6]),
  /** Where sshd was expected. */
  port: z.number(),
  failure: z.string(),
});
export type ProofRefusal = z.infer<typeof proofRefusalSchema>;

/** One difference between what is and what should be. */
export const changeSchema = z.strictObject({
  /** A few words: `create`, `mode 0644 -> 0600`, `content`. */
  summary: z.string(),
  /** A unified diff where text changes. */
  diff: z.string().optional(),
});
export type Change = z.infer<typeof changeSchema>;

/** One line of a plan. */
export const stepSchema = z.strictObject({
  action: z.enum(['create', 'update', 'remove', 'release', 'trigger']),
  /** `kind:id`, or `unit` for a trigger left over by an interrupted run. */
  resource: z.string(),
  playbook: z.string(),
  changes: z.array(changeSchema),
  triggers: z.array(triggerSchema),
});
export type Step = z.infer<typeof stepSchema>;
