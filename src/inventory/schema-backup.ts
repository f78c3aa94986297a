import * as z from 'zod';
import { isSchedule } from '#core/cron-schedule';
import { DURATION } from '#inventory/formats';

const duration = z.string().regex(DURATION, 'is no duration; write it like 30s, 10m, 1h or 30d');

const schedule = z.string().refine(isSchedule, 'is no schedule; write it as cron does: "0 2 * * *"');

const off = z.literal(false);

/** How PostgreSQL is backed up, beside its write-ahead log, which is copied all the time. */
export const postgresBackup = z.union([
  z.strictObject({
    full: schedule.default('0 2 * * *').describe('When the whole cluster is copied.'),
    incremental: z
      .union([schedule, off])
      .default('0 */6 * * *')
      .describe('When what changed since is copied, where the server can (17 and later); `false` for never.'),
    dump: z
      .union([schedule, off])
      .default('30 3 * * 0')
      .describe('When a logical dump is made, as a second format; `false` for never.'),
    synchronous: z
      .boolean()
      .default(false)
      .describe('Whether a commit waits until a second process has it on disk: nothing is lost, writes are slower.'),
  }),
  off,
]);

/** When something that is copied whole is copied. */
export const copyBackup = z.union([
  z.strictObject({ schedule: schedule.default('20 * * * *').describe('When a copy is made.') }),
  off,
]);

/** How a database server in a container accessory is dumped. */
export const serverBackup = z.strictObject({
  type: z.enum(['mariadb', 'mysql']).describe('The server whose own tools make the copy.'),
  schedule: schedule.default('20 * * * *').describe('When a copy is made.'),
  user: z.string().min(1).default('root').describe('The user that may read everything.'),
  password: z.string().min(1).describe('Its password; write `${NAME}` and keep it in `.env.<name>`.'),
});

const volumeBackup = z.strictObject({
  schedule: schedule.default('40 3 * * *').describe('When a copy is made.'),
  containers: z
    .enum(['run', 'pause', 'stop'])
    .default('run')
    .describe('What the containers that use it do meanwhile; `stop` for what must not change while it is read.'),
  sqlite: z
    .array(z.string().min(1))
    .default([])
    .describe('SQLite databases in it, by their paths below it; SQLite itself copies them while they are used.'),
});

const REPOSITORY = /^(?:sftp:\S+|s3:\S+|rest:https?:\/\/\S+|\/\S*)$/;

/** Where backups go, how long they stay, and who is told while all is well. */
export const backups = z.strictObject({
  repository: z
    .string()
    .regex(
      REPOSITORY,
      'is no repository; write sftp:user@host:/path, s3:https://host/bucket/path or rest:https://host/',
    )
    // An address is shown in messages and lists of processes.
    .refine(
      (url) => !/^(?:rest|s3):\w+:\/\/[^/]*@/.test(url),
      'has a user in it; put user and password into `credentials`',
    )
    .optional()
    .describe(
      'Where copies go, off the host: `sftp:user@host:/path`, `s3:https://host/bucket/path`, `rest:https://…`.',
    ),
  local: z
    .union([z.string().startsWith('/', 'is no absolute path'), off])
    .optional()
    .describe('The folder on the host for copies beside it; `false` for none. Default: `/var/backups/slipway/<app>`.'),
  credentials: z
    .record(z.string().regex(/^[A-Z][A-Z0-9_]*$/, 'is no name of a variable'), z.string().min(1))
    .default({})
    .describe(
      'What the repository asks for, as restic names it: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or RESTIC_REST_USERNAME and RESTIC_REST_PASSWORD; write `${NAME}`.',
    ),
  ca: z
    .string()
    .min(1)
    .optional()
    .describe("A PEM file with the authority that signed the repository's https; relative paths start at the project."),
  hostKey: z
    .string()
    .regex(/^(?:ssh-|ecdsa-)\S+ AAAA\S+/, 'is no host key; it begins like "ssh-ed25519 AAAA"')
    .optional()
    .describe("The SFTP server's public host key, as `ssh-keyscan` prints it after the name."),
  identityFile: z
    .string()
    .min(1)
    .optional()
    .describe('The private key for the SFTP server; relative paths start at the project. Default: the host makes one.'),
  keep: duration.default('30d').describe('How far back every moment can be restored.'),
  atLeast: z.int().min(1).default(3).describe('The complete copies that stay however old they are.'),
  ping: z
    .url({ protocol: /^https?$/, error: 'is no URL' })
    .optional()
    .describe('A URL asked every five minutes while all is well, and `/fail` below it when not: a dead man’s switch.'),
  volumes: z
    .record(z.string().min(1), volumeBackup)
    .default({})
    .describe('Volumes of services and accessories to copy, by the name or path that they are mounted from.'),
});

/** What is asked of backups while they are restored on trial. */
export const drills = z.strictObject({
  schedule: z
    .union([schedule, off])
    .default('0 4 * * 0')
    .describe('When the copy that is off the host is restored on trial; `false` for never.'),
  assert: z
    .union([z.array(z.string().min(1)), z.record(z.string(), z.array(z.string().min(1)))])
    .default([])
    .describe(
      'SQL that must answer with one true value on the restored database; by accessory where there are several.',
    ),
});
