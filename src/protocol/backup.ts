import * as z from 'zod';

/** Which of an app's two repositories: one on the host itself, one elsewhere. */
export const repositoryName = z.enum(['local', 'offsite']);
export type RepositoryName = z.infer<typeof repositoryName>;

/** Where copies are kept. Below `url` there are `restic/` (a restic repository) and `objects/` (write-once objects). */
export const repositorySchema = z.strictObject({
  name: repositoryName,
  /** As restic writes it: `/path`, `sftp:user@host:/path`, `s3:https://host/bucket/path`, `rest:https://host/path`. */
  url: z.string(),
  /** PEM text of the authorities trusted for its https; left out: the system's. */
  ca: z.string().optional(),
  /** Environment variables that restic and rclone read: access keys, user and password. Secret. */
  credentials: z.record(z.string(), z.string()),
  /** For SFTP: the server's key as in known_hosts, without the host name. */
  hostKey: z.string().optional(),
  /** For SFTP: the private key to log in with; left out: one that the host makes for itself. Secret. */
  identity: z.string().optional(),
});
export type Repository = z.infer<typeof repositorySchema>;

/** Five fields as cron reads them. */
const schedule = z.string();

/** What every source has: its name among all sources of the app, and the container that holds the data open. */
const source = { name: z.string(), container: z.string() };

export const postgresSourceSchema = z.strictObject({
  type: z.literal('postgres'),
  ...source,
  image: z.string(),
  /** The data directory on the host. */
  storage: z.string(),
  database: z.string(),
  user: z.string(),
  full: schedule,
  /** Left out: none. PostgreSQL 17 and later only. */
  incremental: schedule.optional(),
  dump: schedule.optional(),
  /** Whether a commit waits until the receiver has it on disk. */
  synchronous: z.boolean(),
});
export type PostgresSource = z.infer<typeof postgresSourceSchema>;

/** All that a host knows of an app's backups: what the inventory says, as it lies in `/etc/slipway/backups/<app>.json`. */
export const backupSettingsSchema = z.strictObject({
  app: z.string(),
  environment: z.string(),
  /** The host as the inventory names it: its folder in each repository. */
  host: z.string(),
  /** The first is written first; the others are copied from it. */
  repositories: z.array(repositorySchema).min(1),
  sources: z.array(
    z.discriminatedUnion('type', [
      postgresSourceSchema,
      z.strictObject({
        type: z.literal('redis'),
        ...source,
        image: z.string(),
        storage: z.string(),
        aof: z.boolean(),
        /** Secret. */
        password: z.string().optional(),
        schedule,
      }),
      z.strictObject({
        type: z.enum(['mariadb', 'mysql']),
        ...source,
        image: z.string(),
        user: z.string(),
        /** Secret. */
        password: z.string(),
        schedule,
      }),
      z.strictObject({
        type: z.literal('volume'),
        name: z.string(),
        /** The name of a Docker volume, or an absolute path. */
        volume: z.string(),
        /** SQLite databases in it, relative to it: copied by SQLite itself. */
        sqlite: z.array(z.string()),
        /** What becomes of the containers that use it while it is read. */
        containers: z.enum(['run', 'pause', 'stop']),
        schedule,
      }),
    ]),
  ),
  /** Seconds back from the newest complete backup to which every moment can be restored. */
  keep: z.number(),
  /** Complete backups of a source that stay however old they are. */
  atLeast: z.number().int(),
  /** Asked every few minutes while all is well; left out: nowhere. */
  ping: z.string().optional(),
  drill: z.strictObject({
    schedule: schedule.optional(),
    /** SQL, by source; each must answer with one true value. */
    assert: z.record(z.string(), z.array(z.string())),
  }),
});
export type BackupSettings = z.infer<typeof backupSettingsSchema>;
export type Source = BackupSettings['sources'][number];
export type SourceOf<Type extends Source['type']> = Extract<Source, { type: Type }>;

/** What the host does about backups by itself. */
export const BACKUP_JOBS = ['watch', 'full', 'incremental', 'dump', 'copy', 'prune', 'check', 'drill'] as const;
export type BackupJob = (typeof BACKUP_JOBS)[number];

/** When a job runs, and for which source; all at once where none is named. */
export interface Scheduled {
  readonly job: BackupJob;
  readonly source?: string;
  /** As cron reads it. */
  readonly schedule: string;
}

/** What a host does about backups by itself, and when. */
export function scheduleOf({ sources, drill }: Pick<BackupSettings, 'sources' | 'drill'>): readonly Scheduled[] {
  const copies = sources.flatMap((one): readonly Scheduled[] => {
    if (one.type !== 'postgres') return [{ job: 'copy', source: one.name, schedule: one.schedule }];
    const { name, full, incremental, dump } = one;
    return [
      { job: 'full', source: name, schedule: full },
      ...(incremental === undefined ? [] : [{ job: 'incremental' as const, source: name, schedule: incremental }]),
      ...(dump === undefined ? [] : [{ job: 'dump' as const, source: name, schedule: dump }]),
    ];
  });
  return [
    { job: 'watch', schedule: '* * * * *' },
    ...copies,
    { job: 'check', schedule: '10 5 * * *' },
    { job: 'prune', schedule: '40 5 * * 6' },
    ...(drill.schedule === undefined ? [] : [{ job: 'drill' as const, schedule: drill.schedule }]),
  ];
}

/** What a scheduled job is called in `/etc/cron.d`, where cron reads no name with other characters (cron(8)). */
export function cronNameOf(app: string, { job, source }: Pick<Scheduled, 'job' | 'source'>): string {
  const words = ['slipway-backup', app, ...(source === undefined ? [] : [source]), job];
  return words.join('-').replaceAll(/[^A-Za-z0-9_-]/g, '_');
}

/** One run of a job: a line of the app's records. */
export const backupRecordSchema = z.strictObject({
  /** ISO 8601: when it began. */
  at: z.string(),
  job: z.enum(BACKUP_JOBS),
  source: z.string().optional(),
  repository: repositoryName.optional(),
  /** `error`: it could not be tried. */
  result: z.enum(['done', 'failed', 'error']),
  /** Seconds. */
  duration: z.number(),
  /** Bytes that were read, and that were added to the repository. */
  bytes: z.number().optional(),
  added: z.number().optional(),
  /** What was made: the id of a restic snapshot, or the name of an object. */
  made: z.string().optional(),
  /** Why it failed, for a person. */
  why: z.string().optional(),
  /** Figures of the job's own: LSNs, generations, counts. */
  details: z.record(z.string(), z.unknown()).optional(),
});
export type BackupRecord = z.infer<typeof backupRecordSchema>;

/** A copy that something can be restored from. */
export const copySchema = z.strictObject({
  source: z.string(),
  type: z.enum(['postgres', 'redis', 'mariadb', 'mysql', 'volume']),
  kind: z.enum(['full', 'incremental', 'dump', 'copy']),
  repository: repositoryName,
  /** The snapshot's id. */
  id: z.string(),
  /** ISO 8601. */
  at: z.string(),
  bytes: z.number(),
  /** Whether everything that its restoration needs is in the repository. */
  complete: z.boolean(),
});
export type Copy = z.infer<typeof copySchema>;

/** A place in a database's log that was given a name when a release began. */
export const restorePointSchema = z.strictObject({
  name: z.string(),
  source: z.string(),
  /** The release that began, and the one that served until then. */
  release: z.string(),
  tag: z.string(),
  before: z.string().optional(),
  /** ISO 8601, by the server's clock. */
  at: z.string(),
  lsn: z.string(),
});
export type RestorePoint = z.infer<typeof restorePointSchema>;

/** How the backups of one source stand in one repository. */
const standing = z.strictObject({
  source: z.string(),
  type: z.enum(['postgres', 'redis', 'mariadb', 'mysql', 'volume']),
  repository: repositoryName,
  /** ISO 8601: the moments between which it can be restored; left out where there is no complete copy. */
  oldest: z.string().optional(),
  newest: z.string().optional(),
  copies: z.number().int(),
  bytes: z.number(),
});
export type Standing = z.infer<typeof standing>;

/** One thing that a drill looked at. */
export const drillCheckSchema = z.strictObject({
  name: z.string(),
  result: z.enum(['passed', 'failed', 'skipped']),
  /** What was found, for a person; where it failed, it names the object. */
  found: z.string(),
  /** Seconds. */
  duration: z.number(),
});
export type DrillCheck = z.infer<typeof drillCheckSchema>;

/** What a drill of one source came to. */
export const drillReportSchema = z.strictObject({
  id: z.string(),
  app: z.string(),
  source: z.string(),
  type: z.string(),
  /** ISO 8601: when it began. */
  at: z.string(),
  by: z.string(),
  repository: repositoryName,
  /** `error`: it could not be carried out, which says nothing of the backups. */
  verdict: z.enum(['passed', 'failed', 'error']),
  why: z.string().optional(),
  /** What was to be restored: `latest`, or ISO 8601. */
  target: z.string(),
  /** ISO 8601: the moment that was restored. */
  reached: z.string().optional(),
  /** Seconds of data that would have been lost had the host burnt down when the drill began. */
  rpo: z.number().optional(),
  /** Seconds from the beginning until the restored data could be used. */
  rto: z.number().optional(),
  /** Bytes of the restored data, and of write-ahead log replayed. */
  bytes: z.number().optional(),
  walBytes: z.number().optional(),
  /** Seconds of each phase, in order. */
  phases: z.array(z.strictObject({ name: z.string(), duration: z.number() })),
  checks: z.array(drillCheckSchema),
  /** Seconds. */
  duration: z.number(),
});
export type DrillReport = z.infer<typeof drillReportSchema>;

/** What is short, for a person: each is an alarm. */
const alarm = z.strictObject({
  source: z.string().optional(),
  /** The repository that fails, where that is what is short. */
  repository: repositoryName.optional(),
  message: z.string(),
  hint: z.string(),
});
export type Alarm = z.infer<typeof alarm>;

const asked = { app: z.string(), environment: z.string(), by: z.string() };
const only = z.string().optional();

/** What may be asked about backups. */
export const backupRequests = [
  z.strictObject({ verb: z.literal('backup'), ...asked, only }),
  z.strictObject({ verb: z.literal('backup-verify'), ...asked, only }),
  z.strictObject({ verb: z.literal('backup-list'), app: z.string(), only }),
  z.strictObject({ verb: z.literal('backup-status'), app: z.string() }),
  z.strictObject({
    verb: z.literal('backup-key'),
    ...asked,
    /** Show it for escrow, prove that a copy of it opens the backups, or put a copy where the host has none. */
    action: z.enum(['show', 'verify', 'install']),
    /** The copy. Secret. */
    key: z.string().optional(),
    again: z.boolean().optional(),
  }),
  z.strictObject({
    verb: z.literal('restore'),
    ...asked,
    /** ISO 8601 with an offset, `latest`, or the name of a restore point. */
    to: z.string(),
    into: z.enum(['scratch', 'in-place']),
    only,
    from: repositoryName,
    /** Only say what would be restored and what would be lost; change nothing. */
    preview: z.boolean(),
  }),
  z.strictObject({
    verb: z.literal('rollback-data'),
    ...asked,
    /** A release's id or tag; the one that served before where left out. */
    to: z.string().optional(),
    /** Only say what would be gone back to and what would be lost; change nothing. */
    preview: z.boolean(),
  }),
  z.strictObject({
    verb: z.literal('drill'),
    ...asked,
    /** `latest`, `random`, or ISO 8601. */
    target: z.string(),
    only,
    from: repositoryName,
  }),
  z.strictObject({ verb: z.literal('drills'), app: z.string() }),
] as const;
export type BackupRequest = z.infer<(typeof backupRequests)[number]>;

const VERBS: ReadonlySet<string> = new Set(backupRequests.map(({ shape }) => shape.verb.value));

/** Whether a request is about backups. */
export function isBackupRequest<R extends { readonly verb: string }>(
  request: R,
): request is Extract<R, { verb: BackupRequest['verb'] }> {
  return VERBS.has(request.verb);
}

/** What is told of backups. */
export const backupEvents = [
  z.strictObject({ type: z.literal('backup.ran'), app: z.string(), record: backupRecordSchema }),
  z.strictObject({
    type: z.literal('backup.listed'),
    app: z.string(),
    standings: z.array(standing),
    copies: z.array(copySchema),
    points: z.array(restorePointSchema),
  }),
  z.strictObject({
    type: z.literal('backup.stands'),
    app: z.string(),
    standings: z.array(standing),
    alarms: z.array(alarm),
    /** The last run of each job. */
    runs: z.array(backupRecordSchema),
    drills: z.array(drillReportSchema),
    /** Whether somebody has proven to have a copy of the key, and when (ISO 8601). */
    escrow: z.string().optional(),
  }),
  /** Never in a journal. */
  z.strictObject({ type: z.literal('backup.key'), app: z.string(), key: z.string() }),
  z.strictObject({
    type: z.literal('backup.key-proven'),
    app: z.string(),
    /** What the copy has opened: repositories and objects. */
    opened: z.array(z.string()),
  }),
  z.strictObject({
    type: z.literal('restore.previewed'),
    app: z.string(),
    source: z.string(),
    /** ISO 8601: the moment that would be reached. */
    reaches: z.string(),
    /** Seconds of data after that moment. */
    loses: z.number(),
    base: z.string(),
    bytes: z.number(),
    /** The tag that serves afterwards, where the release goes back too. */
    tag: z.string().optional(),
  }),
  z.strictObject({
    type: z.literal('restore.done'),
    app: z.string(),
    source: z.string(),
    reached: z.string(),
    into: z.enum(['scratch', 'in-place']),
    /** Where the restored data is, and where what stood there before went. */
    path: z.string(),
    before: z.string().optional(),
    /** What to type on the host, as root: to look into it, and to remove it or to go back. */
    look: z.array(z.string()),
    leave: z.array(z.string()),
    duration: z.number(),
  }),
  /** While a drill goes on: what was looked at just now. */
  z.strictObject({ type: z.literal('drill.checked'), app: z.string(), source: z.string(), check: drillCheckSchema }),
  z.strictObject({ type: z.literal('drill.ended'), app: z.string(), report: drillReportSchema }),
  z.strictObject({ type: z.literal('drills.listed'), app: z.string(), reports: z.array(drillReportSchema) }),
] as const;
