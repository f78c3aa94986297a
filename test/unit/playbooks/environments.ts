import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import type { Accessory, ComposeKeys, Environment, Service, Volume } from '#inventory/environment';
import { assemble } from '#plan/assemble';
import { templates } from '#playbook/render';
import { PLAYBOOKS } from '#playbooks/index';
import type { Facts } from '#protocol/facts';
import type { Declaration } from '#protocol/plan';

const KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExampleExampleExampleExampleExampleExample01 ana@laptop';

/** Templates as they are shipped. */
export const render = templates([join(fileURLToPath(new URL('../../..', import.meta.url)), 'templates')]);

/** Texts that mean something to YAML, to Compose, to shells, to nginx or to .env files. */
const tricky = fc.constantFrom(
  '',
  '$',
  '${HOME}',
  '$$',
  "'",
  '"',
  '\\',
  '#x',
  ': y',
  '{{z}}',
  '%',
  '\n',
  'é',
  '{',
  '- a',
  '`',
);

/** A value that is found again wherever it ends up: the canary is in one piece, the trouble around it. */
function secret(name: string): fc.Arbitrary<string> {
  return fc.tuple(tricky, tricky).map(([before, after]) => `${before}canary-${name}-7f3a${after}`);
}

const word = fc.stringMatching(/^[a-z][a-z0-9]{1,6}$/);
const port = fc.integer({ min: 1, max: 65_535 });
const source = fc.constantFrom('203.0.113.0/24', '198.51.100.7', '2001:db8::/32');
const from = fc.oneof(fc.constant('any' as const), fc.uniqueArray(source, { minLength: 1, maxLength: 3 }));

const volume: fc.Arbitrary<Volume> = fc.oneof(
  fc.record({
    type: fc.constant('volume' as const),
    source: word,
    target: fc.constant('/data'),
    readOnly: fc.boolean(),
  }),
  fc.record({
    type: fc.constant('bind' as const),
    source: fc.constant('/srv/files'),
    target: fc.constant('/files'),
    readOnly: fc.boolean(),
  }),
);

const compose: fc.Arbitrary<ComposeKeys> = fc.record(
  {
    command: fc.oneof(tricky, fc.array(tricky, { minLength: 1, maxLength: 3 })),
    user: fc.constantFrom('1000', 1000),
    labels: fc.constant({ since: '2026-01-01', octal: '0755', yes: 'on' }),
    deploy: fc.constant({ resources: { limits: { memory: '512m' } } }),
  },
  { requiredKeys: [] },
);

const healthcheck = fc.option(fc.constant({ test: ['CMD', 'true'], interval: '10s' }), { nil: undefined });

function container(name: string) {
  return {
    name: fc.constant(name),
    image: fc.constantFrom('ghcr.io/acme/shop:1.4.2', 'redis', `acme/shop@sha256:${'ab'.repeat(32)}`),
    environment: fc.record({ NODE_ENV: tricky, TOKEN: secret(`${name}-token`) }),
    volumes: fc.array(volume, { maxLength: 2 }),
    compose,
    healthcheck,
  };
}

function service(name: string): fc.Arbitrary<Service> {
  return fc.record({
    ...container(name),
    replicas: fc.integer({ min: 1, max: 5 }),
    order: fc.constantFrom(undefined, 'start-first', 'stop-first'),
    healthPath: fc.constantFrom(undefined, '/up'),
    build: fc.constant(undefined),
    dependsOn: fc.constant([]),
  });
}

function accessory(name: string): fc.Arbitrary<Accessory> {
  const postgres = fc.record({
    type: fc.constant('postgres' as const),
    name: fc.constant(name),
    image: fc.constantFrom('postgres:17', 'postgres:18-alpine', 'pgvector/pgvector:pg16', 'postgres'),
    database: fc.constantFrom('app', 'on'),
    user: fc.constantFrom('app', 'yes'),
    password: secret(`${name}-password`).map((text) => text.replaceAll(/\s/g, '')),
    maxConnections: fc.option(fc.integer({ min: 5, max: 500 }), { nil: undefined }),
    memory: fc.option(fc.integer({ min: 64 * 1024 ** 2, max: 2 ** 36 }), { nil: undefined }),
    pgbouncer: fc.option(
      fc.record({
        name: fc.constant(`${name}-pgbouncer`),
        image: fc.constant('edoburu/pgbouncer:v1.25.1-p0'),
        poolSize: fc.integer({ min: 1, max: 100 }),
        maxClientConnections: fc.integer({ min: 1, max: 5000 }),
      }),
      { nil: undefined },
    ),
    storage: fc.constant(`/srv/shop/${name}`),
    backup: fc.option(
      fc.constant({ full: '0 2 * * *', incremental: '0 */6 * * *', dump: '30 3 * * 0', synchronous: false }),
      { nil: undefined },
    ),
  });
  const redis = fc.record({
    type: fc.constant('redis' as const),
    name: fc.constant(name),
    image: fc.constantFrom('redis:8', 'redis:7-alpine'),
    password: fc.option(secret(`${name}-password`), { nil: undefined }),
    maxmemory: fc.integer({ min: 1024 ** 2, max: 2 ** 34 }),
    policy: fc.constantFrom('noeviction', 'allkeys-lru'),
    aof: fc.boolean(),
    rdb: fc.boolean(),
    storage: fc.constant(`/srv/shop/${name}`),
    backup: fc.option(fc.constant({ schedule: '20 * * * *' }), { nil: undefined }),
  });
  const other = fc.record({
    type: fc.constant('container' as const),
    ...container(name),
    backup: fc.constant(undefined),
  });
  return fc.oneof<fc.Arbitrary<Accessory>[]>(postgres, redis, other);
}

function named<T extends { readonly name: string }>(
  prefix: string,
  make: (name: string) => fc.Arbitrary<T>,
  most: number,
) {
  return fc
    .uniqueArray(word, { maxLength: most })
    .chain((names) => fc.tuple(...names.map((name) => make(`${prefix}${name}`))))
    .map((all) => Object.fromEntries(all.map((one) => [one.name, one])) as Record<string, T>);
}

function routes(services: readonly string[]) {
  if (services.length === 0) return fc.constant([]);
  const path = fc.record({ path: fc.constantFrom('/', '/api', '/a%20b'), service: fc.constantFrom(...services), port });
  return fc.uniqueArray(word, { maxLength: 3 }).chain((names) =>
    fc.tuple(
      ...names.map((name) =>
        fc.record({
          domain: fc.constant(`${name}.example.com`),
          paths: fc.uniqueArray(path, { minLength: 1, maxLength: 3, selector: (one) => one.path }),
        }),
      ),
    ),
  );
}

function secretsOf(services: readonly Service[], accessories: readonly Accessory[], token: string) {
  const values = [...services, ...accessories].flatMap((one) => [
    ...('environment' in one ? [one.environment['TOKEN'] ?? ''] : []),
    ...('password' in one && one.password !== undefined ? [one.password] : []),
  ]);
  return Object.fromEntries([...values, token].map((value, index) => [`SECRET_${index}`, value]));
}

/** Any environment an inventory can mean. */
export const environments: fc.Arbitrary<Environment> = fc
  .record({
    services: named('s', service, 4),
    accessories: named('a', accessory, 3),
    token: secret('registry'),
  })
  .chain(({ services, accessories, token }) =>
    fc.record({
      name: fc.constant('prod'),
      app: fc.constantFrom('shop', 'my-app'),
      directory: fc.constant('/project'),
      hosts: fc.constant({
        web: {
          name: 'web',
          address: '203.0.113.10',
          user: 'root',
          port: 22,
          identityFile: undefined,
          family: undefined,
        },
      }),
      ssh: fc.record({
        user: fc.constantFrom('deploy', 'debian'),
        authorizedKeys: fc.constant([KEY]),
        allowFrom: from,
        port: fc.option(port, { nil: undefined }),
        options: fc.constantFrom({}, { MaxSessions: 2, AllowTcpForwarding: 'local' }),
      }),
      firewall: fc.record({
        allow: fc.uniqueArray(
          fc.record({
            port: fc.constantFrom(8443, 9100, 53),
            protocol: fc.constantFrom('tcp' as const, 'udp' as const),
            from,
            comment: fc.constantFrom(undefined, 'why (not)?'),
          }),
          { maxLength: 3, selector: (rule) => `${rule.port}/${rule.protocol}` },
        ),
      }),
      harden: fc.record({
        unattendedUpgrades: fc.record({
          enabled: fc.boolean(),
          reboot: fc.boolean(),
          rebootTime: fc.constant('04:00'),
        }),
        fail2ban: fc.constant({ maxRetry: 5, findTime: 600, banTime: 3600, ignore: ['198.51.100.7'] }),
        sysctl: fc.constantFrom({}, { 'net.core.somaxconn': '4096' }, { 'vm.overcommit_memory': '2' }),
        allowModules: fc.constantFrom([], ['usb-storage']),
        coreDumps: fc.boolean(),
        timeSync: fc.boolean(),
        auditd: fc.boolean(),
        swap: fc.constantFrom(undefined, 2 ** 31),
      }),
      docker: fc.constant({
        addressPools: [
          { base: '172.29.0.0/16', size: 24 },
          { base: '192.168.224.0/20', size: 24 },
        ],
        logMaxSize: 10 * 1024 ** 2,
        logMaxFile: 3,
        registries: { 'ghcr.io': { username: 'acme', password: token } },
      }),
      services: fc.constant(services),
      routes: routes(Object.keys(services)),
      packages: fc.constant({ wait: 600 }),
      release: fc.constant({
        images: 'registry' as const,
        healthTimeout: 30,
        command: undefined,
        watch: 10,
        canary: [],
        drain: 30,
        hold: 30,
        warm: 300,
      }),
      accessories: fc.constant(accessories),
      backups: fc.option(
        fc.constant({
          repositories: [
            {
              name: 'offsite' as const,
              url: 'sftp:backup@vault.example.com:/srv/shop',
              ca: undefined,
              credentials: {},
              hostKey: undefined,
              identity: undefined,
            },
          ],
          keep: 2_592_000,
          atLeast: 3,
          ping: undefined,
          volumes: {},
          drill: { schedule: '0 4 * * 0', assert: {} },
        }),
        { nil: undefined },
      ),
      certificates: fc.constant({
        email: undefined,
        directory: 'https://acme.example.com/dir',
        ca: undefined,
        renewBefore: undefined,
        preflight: 'require' as const,
      }),
      proxy: fc.record({
        clientMaxBodySize: fc.constant(16 * 1024 ** 2),
        rateLimit: fc.constantFrom(undefined, { perSecond: 20, burst: 50 }),
      }),
      maintenance: fc.record({
        page: fc.constantFrom(undefined, '<p>Back soon: $host</p>'),
        allow: fc.constantFrom([], ['203.0.113.0/24', '2001:db8::/48']),
      }),
      protected: fc.boolean(),
      audit: fc.constant({ accept: {} }),
      logs: fc.constant({ keep: 30 }),
      secrets: fc.constant(secretsOf(Object.values(services), Object.values(accessories), token)),
      warnings: fc.constant([]),
    }),
  );

/** What hosts say of themselves. */
export const someFacts: fc.Arbitrary<Facts> = fc.record({
  hostname: fc.constant('web'),
  os: fc.constantFrom(
    { id: 'debian', version: '13', codename: 'trixie', name: 'Debian GNU/Linux 13 (trixie)' },
    { id: 'debian', version: '12', codename: 'bookworm', name: 'Debian GNU/Linux 12 (bookworm)' },
  ),
  arch: fc.constant('amd64'),
  kernel: fc.constant('6.12.0'),
  cpus: fc.constant(2),
  memoryBytes: fc.integer({ min: 512 * 1024 ** 2, max: 2 ** 36 }),
  diskFreeBytes: fc.constant(2 ** 36),
  clock: fc.constant(1_800_000_000_000),
  addresses: fc.constant(['203.0.113.10']),
  networks: fc.constantFrom(['203.0.113.0/24'], ['10.0.0.0/8', '172.29.200.0/22'], ['172.16.0.0/12']),
  container: fc.boolean(),
  clientAddress: fc.constant('198.51.100.7'),
  sshPort: fc.constantFrom(22, 2222),
  listening: fc.constant([]),
  apps: fc.constant({}),
});

/** All that the playbooks declare, in the order in which it is applied. */
export function declared(environment: Environment, facts: Facts): readonly Declaration[] {
  return assemble(
    PLAYBOOKS.map(({ name, resources }) => ({
      playbook: name,
      resources: resources({ environment, host: 'web', facts, render }),
    })),
  );
}
