import * as z from 'zod';

/**
 * Where an audit looks. Each is one way of asking the running system, never the file that was written; `outside` is
 * asked by the laptop, all others by the host. What their keys are, and what their values look like:
 *
 * | probe | key | value |
 * |---|---|---|
 * | `account` | `empty-passwords` | users who need no password, or `none` |
 * | | `uid-0` | users who are root by their number |
 * | | `user:<name>` | of `key`, `sudo`, `shell`, `locked` what is so; `missing` |
 * | | `docker-group` | members of the group, or `none` |
 * | `apt` | `APT::Periodic::Unattended-Upgrade` | as `apt-config dump` has it, lists with commas |
 * | `docker` | `LiveRestoreEnabled`, `LoggingDriver`, any other of `docker info` | as the engine says |
 * | | `no-new-privileges`, `userland-proxy`, `icc` | `true` or `false` |
 * | | `ip` | the address ports are published to where none is named |
 * | | `tcp-socket` | the address the API is offered at, or `none` |
 * | | `privileged`, `docker-socket` | containers that are privileged or hold the engine's socket, or `none` |
 * | | `published` | ports that containers publish to other than the host itself, or `none` |
 * | `fail2ban` | `jail:<name>` | `running` or `missing` |
 * | | `<jail>.<option>` | as `fail2ban-client get` says |
 * | | `ignores-operator` | whether the address of this connection cannot be banned: `yes` or `no` |
 * | `file` | a path | `<mode> <owner> <group>`, four octal digits: of what a link leads to |
 * | `firewall` | `ufw` | `active` or `inactive`, from the kernel |
 * | | `ufw-incoming`, `ufw-outgoing`, `ufw-routed` | `deny`, `reject` or `allow`, from the kernel |
 * | | `ufw-ipv6` | `yes` or `no` |
 * | | `ufw-boot` | `enabled` or `disabled` |
 * | | `nft:<family> <table>` | `as-loaded`, `changed` or `missing` |
 * | `login` | `password` | what sshd on loopback offers to root and to people: `refused` or `offered` |
 * | `module` | a name | `blocked`, `loadable`, `loaded` or `loaded until the next boot` |
 * | `outside` | `open-tcp4`, `open-tcp6` | ports that answer from the laptop |
 * | `service` | a unit | `active`, `inactive` or `failed`; `enabled`, `disabled`, `static`, `masked` or `missing` |
 * | `sshd` | an option in lower case | as `sshd -T` prints it; what a `Match` block makes of it for somebody counts |
 * | `sysctl` | a key with dots | the value in effect, and what the next boot makes of it where that is another |
 * | `systemd` | `journald.conf:Journal.Storage` | as the last of its files and drop-ins sets it |
 * | `tool` | `ssh-audit`, `lynis`, `docker-bench` | its figures |
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
  'systemd',
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
  /** Why it could not be looked up, although it can be on such a host: what hides itself is a finding. */
  failed: z.string().optional(),
  /** The figures of a tool the time before, and the day. */
  before: z.strictObject({ value: z.string(), on: z.string() }).optional(),
});
export type Answer = z.infer<typeof answerSchema>;
