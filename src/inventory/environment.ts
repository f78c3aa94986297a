/**
 * What an inventory file means once it is read, checked, completed with defaults and frozen: the only form in which
 * the rest of the program knows an inventory. Durations are seconds, sizes are bytes, paths are absolute.
 */
export interface Environment {
  /** The file's name without `.yaml`: `prod`. */
  readonly name: string;
  readonly app: string;
  /** The absolute directory that holds `inventory/` and `.env.<name>`. */
  readonly directory: string;
  readonly hosts: Readonly<Record<string, Host>>;
  readonly ssh: Ssh;
  readonly firewall: { readonly allow: readonly FirewallRule[] };
  readonly harden: Harden;
  /** `wait`: seconds that another program may keep the package system to itself. */
  readonly packages: { readonly wait: number };
  readonly docker: Docker;
  readonly services: Readonly<Record<string, Service>>;
  readonly routes: readonly Route[];
  readonly release: Release;
  readonly accessories: Readonly<Record<string, Accessory>>;
  /** Undefined where none are to be made. */
  readonly backups: Backups | undefined;
  readonly certificates: Certificates;
  readonly proxy: Proxy;
  readonly maintenance: Maintenance;
  /** Whether a person must confirm what changes it. */
  readonly protected: boolean;
  /** `accept`: why a finding is wanted, by the control's id. */
  readonly audit: { readonly accept: Readonly<Record<string, string>> };
  /** `keep`: whole days. */
  readonly logs: { readonly keep: number };
  /** Every value that came from `.env` files, by name: what must never be shown. */
  readonly secrets: Readonly<Record<string, string>>;
  /** Sentences worth showing once, such as an image without a tag. */
  readonly warnings: readonly string[];
}

export interface Host {
  readonly name: string;
  /** An IP address or a host name; an alias of ~/.ssh/config works too. */
  readonly address: string;
  /** The user of the first contact, afterwards it is `ssh.user`; undefined: as ~/.ssh/config says, else root. */
  readonly user: string | undefined;
  /** The port of the first contact; undefined: as ~/.ssh/config says, else 22. */
  readonly port: number | undefined;
  readonly identityFile: string | undefined;
  readonly family: 4 | 6 | undefined;
}

export interface Ssh {
  /** The user that Slipway creates, and logs in as from then on. */
  readonly user: string;
  /** Whole lines of an authorized_keys file, at least one. */
  readonly authorizedKeys: readonly string[];
  readonly allowFrom: 'any' | readonly string[];
  /** The port sshd listens on once hardened; undefined leaves it as it is. */
  readonly port: number | undefined;
  /** Settings as sshd_config(5) spells them, winning over the playbook's own. */
  readonly options: Readonly<Record<string, string | number | boolean | readonly string[]>>;
}

export interface FirewallRule {
  readonly port: number;
  readonly protocol: 'tcp' | 'udp';
  readonly from: 'any' | readonly string[];
  readonly comment: string | undefined;
}

export interface Harden {
  readonly unattendedUpgrades: {
    readonly enabled: boolean;
    readonly reboot: boolean;
    /** `HH:MM`, the host's time. */
    readonly rebootTime: string;
  };
  readonly fail2ban: {
    readonly maxRetry: number;
    /** Seconds. */
    readonly findTime: number;
    /** Seconds. */
    readonly banTime: number;
    /** Addresses and networks that are never banned. */
    readonly ignore: readonly string[];
  };
  /** Added to and winning over the playbook's own. */
  readonly sysctl: Readonly<Record<string, string>>;
  /** Kernel modules that are not blocked. */
  readonly allowModules: readonly string[];
  readonly coreDumps: boolean;
  readonly timeSync: boolean;
  readonly auditd: boolean;
  /** Bytes of the swap file; undefined for none. */
  readonly swap: number | undefined;
}

export interface Proxy {
  /** Bytes. */
  readonly clientMaxBodySize: number;
  /** Requests of one address; undefined for no limit. */
  readonly rateLimit: { readonly perSecond: number; readonly burst: number } | undefined;
}

export interface Docker {
  readonly addressPools: readonly { readonly base: string; readonly size: number }[];
  /** Bytes. */
  readonly logMaxSize: number;
  readonly logMaxFile: number;
  readonly registries: Readonly<Record<string, { readonly username: string; readonly password: string }>>;
}

/** Keys of a Compose service in the specification's own spelling and form, ready to be written into a Compose file. */
export type ComposeKeys = Readonly<Record<string, unknown>>;

/** How Compose checks a container's health, in the Compose specification's own form. */
export interface ComposeHealthcheck {
  readonly test: string | readonly string[];
  readonly interval?: string | undefined;
  readonly timeout?: string | undefined;
  readonly retries?: number | undefined;
  readonly start_period?: string | undefined;
}

export interface Volume {
  /** `bind`: a directory of the host, `source` is absolute. `volume`: a named volume. */
  readonly type: 'bind' | 'volume';
  readonly source: string;
  readonly target: string;
  readonly readOnly: boolean;
}

interface Container {
  readonly name: string;
  readonly image: string;
  /** May hold secrets: belongs into a 0600 file. */
  readonly environment: Readonly<Record<string, string>>;
  readonly volumes: readonly Volume[];
  /** Everything else that was declared: command, user, deploy.resources, labels... */
  readonly compose: ComposeKeys;
}

/** How an image is built. */
export interface Build {
  /** An absolute path on this machine. */
  readonly context: string;
  /** Relative to the context. */
  readonly dockerfile: string;
  /** May hold secrets. */
  readonly args: Readonly<Record<string, string>>;
  readonly target: string | undefined;
}

export interface Service extends Container {
  /** Used only where images are built on the hosts. */
  readonly build: Build | undefined;
  readonly replicas: number;
  /** Whether an old container has ended before a new one starts; undefined where it was left open. */
  readonly order: 'stop-first' | 'start-first' | undefined;
  /** The path that answers 2xx when a container is ready to serve; asked at the port of its route. */
  readonly healthPath: string | undefined;
  readonly healthcheck: ComposeHealthcheck | undefined;
  /** Services that start before this one; accessories always do. */
  readonly dependsOn: readonly string[];
}

export interface Route {
  /** Lower case, punycode, no trailing dot. */
  readonly domain: string;
  /** The longest path first; `/` is not necessarily among them. */
  readonly paths: readonly RoutePath[];
}

export interface RoutePath {
  readonly path: string;
  readonly service: string;
  readonly port: number;
}

export interface Release {
  /** Seconds a new container has to become healthy. */
  readonly healthTimeout: number;
  /** Where the images of the services come from. */
  readonly images: 'registry' | 'local' | 'build';
  /** Run once in a container of the new image before it starts, on the first host. */
  readonly command: string | readonly string[] | undefined;
  /** Seconds after the flip in which the release is compared with the one before; zero for none. */
  readonly watch: number;
  /** The shares of all clients, in percent and ascending, that get a release before all do; empty for none. */
  readonly canary: readonly number[];
  /** Seconds the old containers have to finish their requests. */
  readonly drain: number;
  /** Seconds that requests wait at most while what cannot run twice is swapped. */
  readonly hold: number;
  /** Seconds the old containers keep running afterwards. */
  readonly warm: number;
}

export type Accessory = Postgres | Redis | ContainerAccessory;

export interface Postgres {
  readonly type: 'postgres';
  readonly name: string;
  readonly image: string;
  readonly database: string;
  readonly user: string;
  readonly password: string;
  /** undefined: tuned to the host. */
  readonly maxConnections: number | undefined;
  /** Bytes that PostgreSQL is tuned to; undefined: a share of the host's memory. */
  readonly memory: number | undefined;
  readonly pgbouncer: PgBouncer | undefined;
  /** The directory on the host that holds the data. */
  readonly storage: string;
  readonly backup: PostgresBackup | undefined;
}

/** Schedules are five fields or a nickname, as cron reads them; undefined for never. */
export interface PostgresBackup {
  readonly full: string;
  readonly incremental: string | undefined;
  readonly dump: string | undefined;
  /** Whether a commit waits until the receiver has it on disk. */
  readonly synchronous: boolean;
}

export interface PgBouncer {
  /** The name services reach it under: `pgbouncer`, or `<accessory>-pgbouncer` where the accessory is not `postgres`. */
  readonly name: string;
  readonly image: string;
  readonly poolSize: number;
  readonly maxClientConnections: number;
}

export interface Redis {
  readonly type: 'redis';
  readonly name: string;
  readonly image: string;
  readonly password: string | undefined;
  /** Bytes. */
  readonly maxmemory: number;
  readonly policy: string;
  readonly aof: boolean;
  readonly rdb: boolean;
  /** The directory on the host that holds the data. */
  readonly storage: string;
  readonly backup: { readonly schedule: string } | undefined;
}

export interface ContainerAccessory extends Container {
  readonly type: 'container';
  readonly healthcheck: ComposeHealthcheck | undefined;
  readonly backup: ServerBackup | undefined;
}

/** How a database server in a container is backed up by its own tools. */
export interface ServerBackup {
  readonly type: 'mariadb' | 'mysql';
  readonly schedule: string;
  readonly user: string;
  readonly password: string;
}

/** How a volume is backed up. */
export interface VolumeBackup {
  readonly schedule: string;
  /** What becomes of the containers that use it while it is read. */
  readonly containers: 'run' | 'pause' | 'stop';
  /** SQLite databases, relative to it. */
  readonly sqlite: readonly string[];
}

/** Where copies are kept. */
export interface Repository {
  readonly name: 'local' | 'offsite';
  /** As restic writes it. */
  readonly url: string;
  /** PEM text of the authorities trusted for its https; undefined: the system's. */
  readonly ca: string | undefined;
  readonly credentials: Readonly<Record<string, string>>;
  /** The SFTP server's key as in known_hosts, without the name. */
  readonly hostKey: string | undefined;
  /** The private key for the SFTP server; undefined: the host makes one. */
  readonly identity: string | undefined;
}

export interface Backups {
  /** The first is written first. */
  readonly repositories: readonly Repository[];
  /** Seconds. */
  readonly keep: number;
  readonly atLeast: number;
  readonly ping: string | undefined;
  /** By the name or path that they are mounted from. */
  readonly volumes: Readonly<Record<string, VolumeBackup>>;
  /** `assert`: SQL, by accessory. */
  readonly drill: {
    readonly schedule: string | undefined;
    readonly assert: Readonly<Record<string, readonly string[]>>;
  };
}

export interface Maintenance {
  /** HTML; undefined for the page that Slipway brings. */
  readonly page: string | undefined;
  /** Addresses and networks that get through. */
  readonly allow: readonly string[];
}

export interface Certificates {
  readonly email: string | undefined;
  /** The ACME directory URL. */
  readonly directory: string;
  /** PEM text of the authorities trusted for the directory's own https; undefined: the system's. */
  readonly ca: string | undefined;
  /** Seconds before the end of validity; undefined: a third of the certificate's lifetime. */
  readonly renewBefore: number | undefined;
  /** Whether a host must see that DNS and port 80 lead to it before it asks for a certificate. */
  readonly preflight: 'require' | 'warn' | 'skip';
}
