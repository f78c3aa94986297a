import { createHash } from 'node:crypto';
import type { Accessory, ContainerAccessory, Docker, Environment, Postgres, Redis } from '#inventory/environment';
import { definePlaybook, type PlaybookContext } from '#playbook/playbook';
import { composeProject, type Declared, directory, dockerNetwork, file, sysctl } from '#playbook/resources';
import { composeHealthcheck, composeLogging, composeVolumes, composeYaml, volumesSection } from './compose-text.ts';
import { environmentFile } from './environment-file.ts';
import { PGBOUNCER_USER, postgresUser, redisUser } from './image-user.ts';
import { accessoryFolder } from './places.ts';
import { postgresMemory, postgresSettings } from './postgres-memory.ts';
import { networkOf } from './routing.ts';
import { volumeResources } from './volumes.ts';

/** What the templates of all accessories are given. */
interface Common extends Record<string, unknown> {
  readonly app: string;
  readonly name: string;
  readonly project: string;
  readonly network: string;
  /** Where its configuration is. */
  readonly folder: string;
  readonly image: string;
  readonly logging: { readonly maxSize: number; readonly maxFile: number };
}

/** Projects that belong to the app's own slots. */
const TAKEN: readonly string[] = ['blue', 'green', 'workers'];

/** The Compose project of an accessory, which is the name of its container too. */
export function projectOfAccessory(app: string, name: string): string {
  return TAKEN.includes(name) ? `${app}-accessory-${name}` : `${app}-${name}`;
}

function common({ app, docker }: Environment, { name, image }: { name: string; image: string }): Common {
  return {
    app,
    name,
    image,
    network: app,
    project: projectOfAccessory(app, name),
    folder: accessoryFolder(app, name),
    logging: { maxSize: docker.logMaxSize, maxFile: docker.logMaxFile },
  };
}

/** The digest of an accessory's configuration: its label, so that Compose makes the container anew when it changes. */
function configuration(...texts: readonly string[]): string {
  const digest = createHash('sha256').update(JSON.stringify(texts)).digest('hex');
  return environmentFile({ CONFIGURATION: digest });
}

/** The newest layout keeps each major version's data in a folder of its own (docker-library/postgres, since 18). */
function dataFolder(image: string): string {
  const major = Number(/pg(\d+)/.exec(image)?.[1] ?? /:(\d+)/.exec(image)?.[1] ?? 0);
  return major >= 18 ? '/var/lib/postgresql' : '/var/lib/postgresql/data';
}

function postgres(context: PlaybookContext, accessory: Postgres): readonly Declared[] {
  const { environment, facts, render } = context;
  const shared = common(environment, accessory);
  const { storage, image, password, database, user: role } = accessory;
  const user = postgresUser(image);
  const memory = postgresMemory(accessory, facts.memoryBytes);
  const passwordFile = `${shared.folder}/password`;
  const owner = { owner: user.uid, group: user.gid };
  return [
    directory({ path: storage, mode: '0700', ...owner }),
    file({ path: passwordFile, content: password, mode: '0600', ...owner }, { sensitive: true }),
    composeProject({
      name: shared.project,
      directory: shared.folder,
      compose: render('compose/postgres.yaml.hbs', {
        ...shared,
        user,
        database,
        role,
        storage,
        passwordFile,
        dataFolder: dataFolder(image),
        settings: postgresSettings(memory),
        sharedMemory: memory.sharedMemory,
      }),
      wait: 180,
    }),
    ...(accessory.pgbouncer === undefined ? [] : pgbouncer(context, accessory, accessory.pgbouncer)),
  ];
}

function pgbouncer(
  { environment, render }: PlaybookContext,
  { name: server, user: role, password }: Postgres,
  pool: NonNullable<Postgres['pgbouncer']>,
): readonly Declared[] {
  const shared = common(environment, pool);
  const { poolSize, maxClientConnections } = pool;
  const ini = render('pgbouncer/pgbouncer.ini.hbs', { ...shared, server, poolSize, maxClientConnections });
  // A quote in a word is doubled (pgbouncer(5), "Authentication file format").
  const users = `"${role}" "${password.replaceAll('"', '""')}"\n`;
  const owner = { owner: PGBOUNCER_USER.uid, group: PGBOUNCER_USER.gid };
  return [
    file({ path: `${shared.folder}/pgbouncer.ini`, content: ini }),
    file({ path: `${shared.folder}/userlist.txt`, content: users, mode: '0600', ...owner }, { sensitive: true }),
    composeProject({
      name: shared.project,
      directory: shared.folder,
      compose: render('compose/pgbouncer.yaml.hbs', { ...shared, user: PGBOUNCER_USER }),
      env: configuration(ini, users),
    }),
  ];
}

/** A text as one argument of redis.conf: quoted as Redis splits arguments. */
function redisQuoted(text: string): string {
  return `"${text.replaceAll(/[\\"]/g, '\\$&').replaceAll('\n', '\\n').replaceAll('\r', '\\r')}"`;
}

function redis({ environment, render }: PlaybookContext, accessory: Redis): readonly Declared[] {
  const shared = common(environment, accessory);
  const { storage, maxmemory, policy, aof, rdb, password } = accessory;
  const user = redisUser(accessory.image);
  const owner = { owner: user.uid, group: user.gid };
  const settings = render('redis/redis.conf.hbs', {
    ...shared,
    maxmemory,
    policy,
    aof,
    rdb,
    password: password === undefined ? undefined : redisQuoted(password),
  });
  return [
    directory({ path: storage, mode: '0700', ...owner }),
    file(
      { path: `${shared.folder}/redis.conf`, content: settings, mode: '0600', ...owner },
      { sensitive: password !== undefined },
    ),
    composeProject({
      name: shared.project,
      directory: shared.folder,
      compose: render('compose/redis.yaml.hbs', { ...shared, user, storage }),
      env: configuration(settings),
    }),
  ];
}

function containerService(app: string, docker: Docker, accessory: ContainerAccessory): Record<string, unknown> {
  const { image, compose, volumes, healthcheck } = accessory;
  return {
    image,
    restart: 'unless-stopped',
    logging: composeLogging(docker),
    ...compose,
    env_file: ['.env'],
    ...(volumes.length === 0 ? {} : { volumes: composeVolumes(app, volumes) }),
    ...(healthcheck === undefined ? {} : { healthcheck: composeHealthcheck(healthcheck) }),
  };
}

function container({ environment, render }: PlaybookContext, accessory: ContainerAccessory): readonly Declared[] {
  const { app, docker } = environment;
  const shared = common(environment, accessory);
  const { name, volumes } = accessory;
  return [
    ...volumeResources(app, volumes),
    composeProject(
      {
        name: shared.project,
        directory: shared.folder,
        compose: render('compose/project.yaml.hbs', {
          ...shared,
          what: `${name} of ${app}`,
          services: composeYaml({
            [name]: { container_name: shared.project, ...containerService(app, docker, accessory) },
          }),
          volumes: volumesSection(app, volumes),
        }),
        env: environmentFile(accessory.environment),
      },
      { sensitive: true },
    ),
  ];
}

function declare(context: PlaybookContext, accessory: Accessory): readonly Declared[] {
  switch (accessory.type) {
    case 'postgres':
      return postgres(context, accessory);
    case 'redis':
      return redis(context, accessory);
    case 'container':
      return container(context, accessory);
  }
}

/** What keeps data or stands beside the app, each in a Compose project of its own, on the app's network alone. */
export const accessories = definePlaybook({
  name: 'accessories',
  summary: 'PostgreSQL tuned to the host with PgBouncer in front, Redis, other containers; nothing is published.',
  resources(context) {
    const { environment, facts } = context;
    const { app, harden } = environment;
    const declared = Object.values(environment.accessories);
    if (declared.length === 0 && Object.keys(environment.services).length === 0) return [];
    // Redis forks to write its snapshot; without this the kernel may refuse although nearly nothing is copied.
    const overcommits = declared.some(({ type }) => type === 'redis') && !('vm.overcommit_memory' in harden.sysctl);
    return [
      dockerNetwork({ name: app, subnet: networkOf(environment, facts) }),
      ...(overcommits ? [sysctl({ name: '99-zz-slipway-redis', values: { 'vm.overcommit_memory': 1 } })] : []),
      ...declared.flatMap((accessory) => declare(context, accessory)),
    ];
  },
});
