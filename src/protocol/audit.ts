import * as z from 'zod';

/**
 * Where an audit looks. Each is one way of asking the running system, never the file that was written; `outside` is
 * asked by the laptop, all others by the host.
 */
export const PROBES = [
  'account',
  'apt',
  'docker',
  'fail2ban',
  'file',
  'firewall',
  'login',
  'module',
  'outside',
  'service',
  'sshd',
  'sysctl',
  'tool',
] as const;
export type Probe = (typeof PROBES)[number];

/** One thing to be looked up: `sshd` `permitrootlogin`, `sysctl` `kernel.sysrq`. */
export const questionSchema = z.strictObject({ probe: z.enum(PROBES), key: z.string() });
export type Question = z.infer<typeof questionSchema>;

/** What is in effect. */
export const answerSchema = z.strictObject({
  probe: z.enum(PROBES),
  key: z.string(),
  /** In the tool's own words, lists separated by commas; left out where there is no value. */
  value: z.string().optional(),
  /** The file that sets it, or that overrides what we wrote. */
  from: z.string().optional(),
  /** Why it cannot be known or set on this host: a container's kernel is not its own. */
  cannot: z.string().optional(),
});
export type Answer = z.infer<typeof answerSchema>;
