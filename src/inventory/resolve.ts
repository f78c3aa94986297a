import { parseDuration, parseSize } from '#core/units';
import { dependenciesOf, pgbouncerName } from '#inventory/check';
import type {
  Accessory,
  Backups,
  Build,
  Environment,
  FirewallRule,
  Route,
  RoutePath,
  Service,
  Volume,
} from '#inventory/environment';
import { absolutePath, type NamedFiles } from '#inventory/files';
import { canonicalDomain } from '#inventory/formats';
import type { Inventory } from '#inventory/schema';

type Declared<K extends 'services' | 'accessories'> = Inventory[K][string];

/** Seconds of a duration that the schema has passed. */
const seconds = (text: string): number => parseDuration(text) ?? Number.NaN;

/** Bytes of a size that the schema has passed. */
const bytes = (text: string): number => parseSize(text) ?? Number.NaN;

/** An inventory that passed every check, in the form the program works with. */
export function resolveEnvironment(
  inventory: Inventory,
  given: {
    name: string;
    directory: string;
    files: NamedFiles;
    secrets: Readonly<Record<string, string>>;
    warnings: string[];
  },
): Environment {
  const { name, directory, files, secrets, warnings } = given;
  const { app, ssh, harden, docker, certificates } = inventory;
  return deepFreeze({
    name,
    app,
    directory,
    hosts: mapEntries(inventory.hosts, (host, key) => ({
      name: key,
      address: host.address,
      user: host.user,
      port: host.port,
      identityFile: host.identityFile === undefined ? undefined : absolutePath(directory, host.identityFile),
      family: host.family,
    })),
    ssh: {
      user: ssh.user,
      authorizedKeys: files.authorizedKeys,
      allowFrom: ssh.allowFrom,
      port: ssh.port,
      options: ssh.options,
    },
    firewall: { allow: inventory.firewall.allow.map(firewallRule) },
    harden: {
      unattendedUpgrades: harden.unattendedUpgrades,
      fail2ban: {
        maxRetry: harden.fail2ban.maxRetry,
        findTime: seconds(harden.fail2ban.findTime),
        banTime: seconds(harden.fail2ban.banTime),
        ignore: harden.fail2ban.ignore,
      },
      sysctl: mapEntries(harden.sysctl, String),
      allowModules: harden.allowModules,
      coreDumps: harden.coreDumps,
      timeSync: harden.timeSync,
      auditd: harden.auditd,
      swap: harden.swap === undefined ? undefined : bytes(harden.swap),
    },
    packages: { wait: seconds(inventory.packages.wait) },
    docker: {
      addressPools: docker.addressPools,
      logMaxSize: bytes(docker.logMaxSize),
      logMaxFile: docker.logMaxFile,
      registries: docker.registries,
    },
    services: mapEntries(inventory.services, (declared, key) => service(directory, key, declared, inventory.services)),
    routes: Object.entries(inventory.routes).map(([domain, declared]) => route(domain, declared)),
    release: {
      healthTimeout: seconds(inventory.release.healthTimeout),
      images: inventory.release.images,
      command: inventory.release.command,
      watch: seconds(inventory.release.watch),
      canary: inventory.release.canary,
      drain: seconds(inventory.release.drain),
      hold: seconds(inventory.release.hold),
      warm: seconds(inventory.release.warm),
    },
    accessories: mapEntries(inventory.accessories, (declared, key) => accessory(app, key, declared)),
    backups: backupsOf(inventory, files),
    certificates: {
      email: certificates.email,
      directory: certificates.directory,
      ca: files.ca,
      renewBefore: certificates.renewBefore === undefined ? undefined : seconds(certificates.renewBefore),
      preflight: certificates.preflight,
    },
    proxy: {
      clientMaxBodySize: bytes(inventory.proxy.clientMaxBodySize),
      rateLimit: inventory.proxy.rateLimit,
    },
    maintenance: { page: files.maintenancePage, allow: inventory.maintenance.allow },
    protected: inventory.protected,
    audit: inventory.audit,
    logs: { keep: Number.parseInt(inventory.logs.keep, 10) },
    secrets,
    warnings,
  });
}

function firewallRule(declared: Inventory['firewall']['allow'][number]): FirewallRule {
  const rule = typeof declared === 'string' ? { port: declared, from: 'any' as const, comment: undefined } : declared;
  const [port, protocol] = rule.port.split('/');
  return {
    port: Number(port),
    protocol: protocol === 'udp' ? 'udp' : 'tcp',
    from: rule.from,
    comment: rule.comment,
  };
}

function service(
  directory: string,
  name: string,
  declared: Declared<'services'>,
  services: Inventory['services'],
): Service {
  const { image, build, environment, volumes, healthcheck, deploy, depends_on: _, ...compose } = declared;
  const hasPath = healthcheck !== undefined && 'path' in healthcheck;
  return {
    name,
    image,
    build: build === undefined ? undefined : buildOf(directory, build),
    environment: variables(environment),
    volumes: volumes.map(volume),
    replicas: deploy.replicas,
    order: deploy.update_config?.order,
    healthPath: hasPath ? healthcheck.path : undefined,
    healthcheck: hasPath ? undefined : healthcheck,
    dependsOn: dependenciesOf(declared).filter((dependency) => Object.hasOwn(services, dependency)),
    compose: deploy.resources === undefined ? compose : { ...compose, deploy: { resources: deploy.resources } },
  };
}

function buildOf(directory: string, declared: NonNullable<Declared<'services'>['build']>): Build {
  const { context, dockerfile, args, target } =
    typeof declared === 'string'
      ? { context: declared, dockerfile: 'Dockerfile', args: {}, target: undefined }
      : declared;
  return { context: absolutePath(directory, context), dockerfile, args: variables(args), target };
}

function accessory(app: string, name: string, declared: Declared<'accessories'>): Accessory {
  switch (declared.type) {
    case 'postgres':
      return {
        type: 'postgres',
        name,
        image: declared.image,
        database: declared.database,
        user: declared.user,
        password: declared.password,
        maxConnections: declared.maxConnections,
        memory: declared.memory === undefined ? undefined : bytes(declared.memory),
        pgbouncer: declared.pgbouncer === false ? undefined : { name: pgbouncerName(name), ...declared.pgbouncer },
        storage: declared.storage ?? `/srv/${app}/${name}`,
        backup:
          declared.backup === false
            ? undefined
            : {
                ...declared.backup,
                incremental: declared.backup.incremental || undefined,
                dump: declared.backup.dump || undefined,
              },
      };
    case 'redis':
      return {
        type: 'redis',
        name,
        image: declared.image,
        password: declared.password,
        maxmemory: bytes(declared.maxmemory),
        policy: declared.policy,
        aof: declared.aof,
        rdb: declared.rdb,
        storage: declared.storage ?? `/srv/${app}/${name}`,
        backup: declared.backup || undefined,
      };
    case 'container': {
      const { type, image, environment, volumes, healthcheck, backup, ...compose } = declared;
      return {
        type,
        name,
        image,
        environment: variables(environment),
        volumes: volumes.map(volume),
        healthcheck,
        backup,
        compose,
      };
    }
  }
}

function backupsOf({ app, backups, drills, accessories }: Inventory, files: NamedFiles): Backups | undefined {
  if (backups === undefined) return undefined;
  const { repository, local, credentials, hostKey, keep, atLeast, ping, volumes } = backups;
  const bare = { ca: undefined, credentials: {}, hostKey: undefined, identity: undefined };
  const folder = local ?? `/var/backups/slipway/${app}`;
  const databases = Object.keys(accessories).filter((name) => accessories[name]?.type === 'postgres');
  return {
    repositories: [
      ...(folder === false ? [] : [{ ...bare, name: 'local' as const, url: folder }]),
      ...(repository === undefined
        ? []
        : [
            {
              name: 'offsite' as const,
              url: repository,
              ca: files.backupCa,
              credentials,
              hostKey,
              identity: files.backupIdentity,
            },
          ]),
    ],
    keep: seconds(keep),
    atLeast,
    ping,
    volumes,
    drill: {
      schedule: drills.schedule || undefined,
      assert: Array.isArray(drills.assert)
        ? Object.fromEntries(databases.slice(0, 1).map((name) => [name, drills.assert as string[]]))
        : drills.assert,
    },
  };
}

function variables(declared: Declared<'services'>['environment']): Readonly<Record<string, string>> {
  if (!Array.isArray(declared)) return mapEntries(declared, String);
  return Object.fromEntries(
    declared.map((assignment) => {
      const split = assignment.indexOf('=');
      return [assignment.slice(0, split), assignment.slice(split + 1)];
    }),
  );
}

function volume(declared: Declared<'services'>['volumes'][number]): Volume {
  if (typeof declared !== 'string') {
    return {
      type: declared.type,
      source: declared.source,
      target: declared.target,
      readOnly: declared.read_only ?? false,
    };
  }
  const [source = '', target = '', mode] = declared.split(':');
  return { type: source.startsWith('/') ? 'bind' : 'volume', source, target, readOnly: mode === 'ro' };
}

function route(domain: string, declared: Inventory['routes'][string]): Route {
  const parts = typeof declared === 'string' ? [{ path: '/', to: declared }] : declared;
  const paths: RoutePath[] = parts.map(({ path, to }) => {
    const [target = '', port] = to.split(':');
    return { path, service: target, port: Number(port) };
  });
  return { domain: canonicalDomain(domain), paths: paths.sort((a, b) => b.path.length - a.path.length) };
}

function mapEntries<V, R>(
  record: Readonly<Record<string, V>>,
  change: (value: V, key: string) => R,
): Record<string, R> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, change(value, key)]));
}

function deepFreeze<T>(value: T): T {
  if (value === null || typeof value !== 'object' || Object.isFrozen(value)) return value;
  for (const part of Object.values(value)) deepFreeze(part);
  return Object.freeze(value);
}
