import * as z from 'zod';
import { parseDuration } from '#core/units';
import { canaryFault, DURATION, domainFault, NAME, networkFault, SIZE, USER } from '#inventory/formats';
import { backups, copyBackup, drills, postgresBackup, serverBackup } from '#inventory/schema-backup';
import { build, composeHealthcheck, container, image, resources } from '#inventory/schema-container';

const duration = z.string().regex(DURATION, 'is no duration; write it like 30s, 10m, 1h or 30d');
const size = z.string().regex(SIZE, 'is no size; write it like 512mb or 2gb');
const port = z.int().min(1).max(65_535);
const name = z.string().regex(NAME, 'a name is a lower-case letter, then up to 30 letters, digits or dashes');
const user = z.string().regex(USER, 'is no user name; lower-case letters, digits, dash and underscore');

const network = z.string().check((context) => {
  const fault = networkFault(context.value);
  if (fault !== undefined) context.issues.push({ code: 'custom', message: fault, input: context.value });
});

const domain = z.string().check((context) => {
  const fault = domainFault(context.value);
  if (fault !== undefined) context.issues.push({ code: 'custom', message: fault, input: context.value });
});

const canary = z.array(z.int().min(1).max(99)).check((context) => {
  const fault = canaryFault(context.value);
  if (fault !== undefined) context.issues.push({ code: 'custom', message: fault, input: context.value });
});

const host = z.strictObject({
  address: z
    .string()
    .regex(/^[A-Za-z0-9:._-]+$/, 'is neither an address nor a host name')
    .describe('The IP address or name the host is reached under; an alias of ~/.ssh/config works too.'),
  user: user
    .optional()
    .describe('The user of the first contact, afterwards it is `ssh.user`. Default: that of ~/.ssh/config, else root.'),
  port: port
    .optional()
    .describe('The port sshd listens on at the first contact. Default: that of ~/.ssh/config, else 22.'),
  identityFile: z
    .string()
    .min(1)
    .optional()
    .describe('The private key for this host; relative paths start at the project. Default: agent, then ~/.ssh.'),
  family: z.literal([4, 6]).optional().describe('Reach the host over IPv4 or IPv6 only.'),
});

const ssh = z.strictObject({
  user: user
    .refine((value) => value !== 'root', 'root does not log in once the host is hardened; name another user')
    .default('deploy')
    .describe('The user Slipway creates on each host and logs in as from then on.'),
  authorizedKeys: z
    .array(z.string().min(1))
    .min(1)
    .optional()
    .describe(
      'Who may log in as that user: public keys, or paths of .pub files. Default: the .pub beside `identityFile`, else ~/.ssh/id_ed25519.pub.',
    ),
  allowFrom: z
    .union([z.literal('any'), z.array(network).min(1)])
    .default('any')
    .describe('The addresses and networks that reach sshd: `any`, or a list such as [203.0.113.0/24].'),
  port: port.optional().describe('Moves sshd to this port. Default: stays where it is.'),
  options: z
    .record(
      z.string().regex(/^[A-Z][A-Za-z0-9]+$/, 'is no option as sshd_config(5) spells it'),
      z.union([z.string().regex(/^[^\n]+$/), z.number(), z.boolean(), z.array(z.string().min(1)).min(1)]),
    )
    .default({})
    .describe("Settings of sshd that win over Slipway's own, such as `AllowTcpForwarding: local`."),
});

const portAndProtocol = z
  .string()
  .regex(/^\d{1,5}\/(?:tcp|udp)$/, 'is no port; write it like 8443/tcp or 443/udp')
  .refine(
    (value) => Number.parseInt(value, 10) >= 1 && Number.parseInt(value, 10) <= 65_535,
    'ports go from 1 to 65535',
  );

const firewall = z.strictObject({
  allow: z
    .array(
      z.union([
        portAndProtocol,
        z.strictObject({
          port: portAndProtocol.describe('The port and protocol: `8443/tcp`.'),
          from: z
            .union([z.literal('any'), z.array(network).min(1)])
            .default('any')
            .describe('The addresses and networks that reach it: `any`, or a list.'),
          comment: z
            .string()
            .regex(/^[^'"\n]*$/, 'has a quote in it')
            .optional()
            .describe('Why it is open; kept beside the rule.'),
        }),
      ]),
    )
    .default([])
    .describe('What is open besides ssh, http and https: `8443/tcp`, or a map that also says from where and why.'),
});

const harden = z.strictObject({
  unattendedUpgrades: z
    .strictObject({
      enabled: z.boolean().default(true).describe('Whether security updates are installed every day.'),
      reboot: z.boolean().default(false).describe('Whether the host reboots by itself when an update asks for it.'),
      rebootTime: z
        .string()
        .regex(/^(?:[01]\d|2[0-3]):[0-5]\d$/, 'is no time of day; write it like "04:00"')
        .default('04:00')
        .describe('The time of day of that reboot.'),
    })
    .prefault({})
    .describe('Security updates without a person.'),
  fail2ban: z
    .strictObject({
      maxRetry: z.int().min(1).default(5).describe('The failed logins after which an address is banned.'),
      findTime: duration.default('10m').describe('The time in which they are counted.'),
      banTime: duration.default('1h').describe('The time an address stays banned.'),
      ignore: z.array(network).default([]).describe('Addresses and networks that are never banned.'),
    })
    .prefault({})
    .describe('Bans addresses that guess passwords.'),
  sysctl: z
    .record(
      z.string().regex(/^[a-z0-9_]+(?:[./][a-z0-9_*-]+)+$/i, 'is no kernel parameter'),
      z.union([z.string(), z.number()]),
    )
    .default({})
    .describe("Kernel parameters beside Slipway's own, such as `net.core.somaxconn: 4096`."),
  allowModules: z
    .array(z.string().regex(/^[a-z0-9_-]+$/, 'is no name of a kernel module'))
    .default([])
    .describe('Kernel modules that stay loadable though Slipway would block them, such as `usb-storage`.'),
  coreDumps: z.boolean().default(false).describe('Whether programs that crash leave their memory on disk.'),
  timeSync: z.boolean().default(true).describe('Whether the host keeps its clock by NTP.'),
  auditd: z
    .boolean()
    .default(false)
    .describe('Whether the kernel logs changes to accounts, sudo, SSH and the clock. Costs disk.'),
  swap: size.optional().describe('The size of a swap file to create. Default: none.'),
});

const docker = z.strictObject({
  addressPools: z
    .array(
      z.strictObject({
        base: network.describe('The network that is divided.'),
        size: z.int().min(8).max(120).describe('The prefix length of one Docker network cut out of it.'),
      }),
    )
    .min(1)
    .default([
      { base: '172.29.0.0/16', size: 24 },
      { base: '192.168.224.0/20', size: 24 },
    ])
    .describe("The networks Docker takes its own from; they must not overlap with your provider's private network."),
  logMaxSize: size.default('10m').describe("The size at which a container's log is rotated."),
  logMaxFile: z.int().min(1).default(3).describe('The rotated logs kept of each container.'),
  registries: z
    .record(
      z.string().regex(/^[A-Za-z0-9.-]+(?::\d+)?$/, 'is no registry host; write it like ghcr.io'),
      z.strictObject({
        username: z.string().min(1).describe('The user at the registry.'),
        password: z.string().min(1).describe('The password or token; write `${NAME}` and keep it in `.env.<name>`.'),
      }),
    )
    .default({})
    .describe('Registries that need a login, by host name.'),
});

const service = z.strictObject({
  ...container,
  build: build
    .optional()
    .describe('How the image is built, as Compose writes it; used on hosts with `release.images: build` alone.'),
  healthcheck: z
    .union([
      z.strictObject({
        path: z
          .string()
          .startsWith('/', 'begins with a slash')
          .describe('The path that answers 2xx when the container is ready, at the port of its route.'),
      }),
      composeHealthcheck,
    ])
    .optional()
    .describe('How a new container proves that it is ready: a `path`, or `test` as Compose writes it.'),
  deploy: z
    .strictObject({
      replicas: z.int().min(1).max(64).default(1).describe('The number of containers side by side on each host.'),
      resources: resources.optional(),
      update_config: z
        .strictObject({
          order: z
            .enum(['stop-first', 'start-first'])
            .optional()
            .describe(
              'Whether an old container has ended before a new one starts. `stop-first`: what cannot run twice; requests wait meanwhile. Default: `start-first` with a route, `stop-first` without.',
            ),
        })
        .optional()
        .describe('How new containers take over from old ones.'),
    })
    .prefault({})
    .describe('How many, what they may use, and how they are replaced.'),
  depends_on: z
    .union([z.array(z.string()), z.record(z.string(), z.strictObject({ condition: z.string().optional() }))])
    .optional()
    .describe('Services that start before this one. Accessories always do.'),
});

const target = z.string().regex(/^[a-z][a-z0-9-]*:\d{1,5}$/, 'is no target; write service:port, like web:3000');

const routes = z.record(
  domain,
  z.union([
    target,
    z
      .array(
        z.strictObject({
          path: z
            .string()
            .regex(/^\/[\w.~%/-]*$/, 'is no path; it begins with a slash')
            .default('/')
            .describe('What the path of a request begins with.'),
          to: target.describe('Where such requests go: `service:port`.'),
        }),
      )
      .min(1),
  ]),
);

const storage = z
  .string()
  .regex(/^\/[\w./-]*[\w-]$/, 'is no absolute path')
  .optional()
  .describe('The directory on the host that holds the data. Default: `/srv/<app>/<accessory>`.');

const identifier = z
  .string()
  .regex(/^[a-z_][a-z0-9_]{0,62}$/, 'is no PostgreSQL name; lower-case letters, digits and underscore');

const pgbouncer = z.union([
  z.strictObject({
    image: image.default('edoburu/pgbouncer:v1.25.1-p0').describe('The PgBouncer image.'),
    poolSize: z.int().min(1).default(20).describe('The connections kept to PostgreSQL.'),
    maxClientConnections: z.int().min(1).default(500).describe('The connections that services may hold to PgBouncer.'),
  }),
  z.literal(false),
]);

/** The accessories Slipway knows, by type: what is declared, before `type` may be left out. */
export const ACCESSORIES = {
  postgres: z.strictObject({
    type: z.literal('postgres').describe('May be left out for an accessory of this name.'),
    image: image.describe('The PostgreSQL image, its major version pinned: `postgres:17`.'),
    database: identifier.default('app').describe('The database created at the first start.'),
    user: identifier.default('app').describe('Its owner.'),
    password: z
      .string()
      .min(1)
      .regex(/^[^\s]*$/, 'has white space in it')
      .describe('The password of that user. Default: `${POSTGRES_PASSWORD}`.'),
    maxConnections: z
      .int()
      .min(5)
      .optional()
      .describe("PostgreSQL's own limit of connections. Default: fits the host."),
    memory: size.optional().describe("The memory PostgreSQL is tuned to. Default: a share of the host's."),
    pgbouncer: pgbouncer
      .prefault({})
      .describe('The connection pool in front, reached as `pgbouncer:5432`; `false` for none.'),
    storage,
    backup: postgresBackup
      .prefault({})
      .describe('How it is backed up where `backups` is declared; `false` for not at all.'),
  }),
  redis: z.strictObject({
    type: z.literal('redis').describe('May be left out for an accessory of this name.'),
    image: image.describe('The Redis image, its major version pinned: `redis:8`.'),
    password: z
      .string()
      .min(1)
      .optional()
      .describe('Asked of every client. Default: none; only the app reaches Redis.'),
    maxmemory: size.default('256mb').describe('The memory for data.'),
    policy: z
      .enum([
        'noeviction',
        'allkeys-lru',
        'allkeys-lfu',
        'allkeys-random',
        'volatile-lru',
        'volatile-lfu',
        'volatile-random',
        'volatile-ttl',
      ])
      .default('noeviction')
      .describe('What happens when that memory is full; `noeviction` refuses writes and loses nothing.'),
    aof: z.boolean().default(true).describe('Whether every write is logged, so that a crash loses at most a second.'),
    rdb: z.boolean().default(true).describe('Whether snapshots are written.'),
    storage,
    backup: copyBackup
      .prefault({})
      .describe('How it is backed up where `backups` is declared; `false` for not at all.'),
  }),
  container: z.strictObject({
    type: z.literal('container').describe('May be left out.'),
    ...container,
    healthcheck: composeHealthcheck.optional().describe('How Docker knows that the container is healthy.'),
    deploy: z.strictObject({ resources }).optional().describe('What the container may use.'),
    backup: serverBackup
      .optional()
      .describe('The database server in it, backed up by its own tools where `backups` is declared. Default: none.'),
  }),
} as const;

const certificates = z.strictObject({
  email: z
    .email('is no e-mail address')
    .optional()
    .describe('Where the certificate authority writes to about the account.'),
  directory: z
    .url({ protocol: /^https$/, error: 'is no https URL' })
    .default('https://acme-v02.api.letsencrypt.org/directory')
    .describe('The ACME directory of the certificate authority.'),
  ca: z
    .string()
    .min(1)
    .optional()
    .describe(
      "A PEM file with the authority that signed the directory's own https; relative paths start at the project.",
    ),
  renewBefore: duration
    .optional()
    .describe('How long before its end a certificate is renewed. Default: a third of its lifetime.'),
  preflight: z
    .enum(['require', 'warn', 'skip'])
    .default('require')
    .describe(
      'Whether a host must see that DNS and port 80 lead to it before it asks: `warn` where it cannot, behind an address translation.',
    ),
});

/** An inventory file as people write it; `z.infer` of it is the same with defaults applied. */
export const inventory = z
  .strictObject({
    app: name.describe('The name of the app; everything on a host that belongs to it carries this name.'),
    extends: z
      .string()
      .optional()
      .describe('The environment this one starts from; maps are merged, lists replaced, `null` removes.'),
    hosts: z
      .record(z.string().regex(/^[A-Za-z0-9][A-Za-z0-9.-]*$/, 'a host name is letters, digits, dots and dashes'), host)
      .refine((hosts) => Object.keys(hosts).length > 0, 'names no host')
      .describe('The machines, by a name of your choice.'),
    ssh: ssh.prefault({}).describe('Who logs in to the hosts, and from where.'),
    firewall: firewall.prefault({}).describe('What is open besides ssh, http and https.'),
    harden: harden.prefault({}).describe('How the host protects itself.'),
    packages: z
      .strictObject({
        wait: duration
          .default('10m')
          .describe('How long to wait for another program that works with packages, such as automatic updates.'),
      })
      .prefault({})
      .describe("The distribution's packages."),
    docker: docker.prefault({}).describe("Docker's own settings."),
    services: z
      .record(name, service)
      .default({})
      .describe("The app's stateless containers, written with the Compose specification's own keys."),
    routes: routes.default({}).describe('Which domain leads to which service; each gets a certificate.'),
    release: z
      .strictObject({
        healthTimeout: duration.default('30s').describe('The time a new container has to become healthy.'),
        command: z
          .union([z.string().min(1), z.array(z.string().min(1)).min(1)])
          .optional()
          .describe(
            'Run once for each release, on one host, in a container of the new image (that of the first route) before it starts: migrations. Default: none.',
          ),
        images: z
          .enum(['registry', 'local', 'build'])
          .default('registry')
          .describe(
            "Where the services' images come from: a registry; `local`, this machine's own Docker or Podman, of which only layers that a host lacks are sent; or `build`, on each host from the service's `build`.",
          ),
        watch: duration
          .default('10s')
          .describe(
            'The time after the flip in which errors, latency and crashes are compared with those before; a worse release is taken back. `0s` for none.',
          ),
        canary: canary
          .default([])
          .describe(
            'The shares of all clients, in percent, that get the new version before all do: [10, 50]. With each it is watched for the time of `watch` beside the old one. Default: none.',
          ),
        drain: duration.default('30s').describe('The time the old containers have to finish their requests.'),
        hold: duration
          .default('30s')
          // nginx waits for an answer for a minute, and the way back takes its part of it.
          .refine(
            (value) => (parseDuration(value) ?? 0) <= 45,
            'is too long; nginx waits for at most 60s: name 45s or less',
          )
          .describe(
            'The time requests wait at most while a service with `order: stop-first` is swapped; then it goes back to the old version.',
          ),
        warm: duration
          .default('5m')
          .describe('The time the old containers keep running afterwards, so that a rollback takes effect at once.'),
      })
      .prefault({})
      .describe('How a new version goes live.'),
    accessories: z
      .record(name, z.discriminatedUnion('type', [ACCESSORIES.postgres, ACCESSORIES.redis, ACCESSORIES.container]))
      .default({})
      .describe('What keeps data or stands beside the app: PostgreSQL, Redis, any other container.'),
    backups: backups.optional().describe('Backups of what keeps data, and where they go. Default: none are made.'),
    drills: drills.prefault({}).describe('Restoring on trial what was backed up.'),
    certificates: certificates.prefault({}).describe('Where certificates come from.'),
    proxy: z
      .strictObject({
        clientMaxBodySize: size.default('16m').describe('The largest request body; a larger one is answered with 413.'),
        rateLimit: z
          .strictObject({
            perSecond: z.int().min(1).describe('The requests of one address in a second, on average.'),
            burst: z.int().min(1).default(50).describe('How many more may come at once.'),
          })
          .optional()
          .describe('Answers 429 to an address that asks more often, and bans it if it goes on. Default: no limit.'),
      })
      .prefault({})
      .describe('The web server in front.'),
    maintenance: z
      .strictObject({
        page: z
          .string()
          .min(1)
          .optional()
          .describe(
            'An HTML file to show instead of the app; relative paths start at the project. Default: a plain page.',
          ),
        allow: z
          .array(network)
          .default([])
          .describe('The addresses and networks that get through to the app all the same.'),
      })
      .prefault({})
      .describe('What visitors see while `deploy maintenance on` holds.'),
    protected: z
      .boolean()
      .default(false)
      .describe('Whether a change asks for the name of the environment first; without a terminal it needs `--yes`.'),
    audit: z
      .strictObject({
        accept: z
          .record(z.string(), z.string().min(1))
          .default({})
          .describe('Findings of `deploy audit` that are known and wanted: the control, and why.'),
      })
      .prefault({})
      .describe('What `deploy audit` does not count as a finding.'),
    logs: z
      .strictObject({
        keep: z
          .string()
          .regex(/^[1-9]\d{0,3}d$/, 'is no number of days; write it like 30d')
          .default('30d')
          .describe('How long logs are kept on the host.'),
      })
      .prefault({})
      .describe('The logs on the host.'),
  })
  .describe('What a host should be, and what runs on it.');

/** An inventory as declared, with defaults applied. */
export type Inventory = z.infer<typeof inventory>;
