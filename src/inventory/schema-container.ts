import * as z from 'zod';
import { COMPOSE_DURATION, IMAGE, SIZE, VARIABLE } from '#inventory/formats';

const text = z.string();
const scalar = z.union([z.string(), z.number(), z.boolean()]);
const textOrList = z.union([z.string(), z.array(z.string())]);
const mapOrList = z.union([z.record(z.string(), scalar), z.array(z.string())]);

const variables = z.record(
  z.string().regex(VARIABLE, 'a variable is letters, digits and underscores and begins with no digit'),
  scalar,
);
const assignment = z
  .string()
  .regex(/^[A-Za-z_][A-Za-z0-9_]*=/, 'write NAME=value; to take a secret from the .env file, NAME=${NAME}');

/** An image reference. */
export const image = z
  .string()
  .regex(IMAGE, 'is no image reference; write it like ghcr.io/acme/shop:1.4.2 or name@sha256:…');

const composeDuration = z.string().regex(COMPOSE_DURATION, 'is no duration; write it like 30s or 1m30s');

const volume = z.union([
  z
    .string()
    .regex(
      /^(?:\/[^:]*|[A-Za-z0-9][A-Za-z0-9_.-]*):\/[^:]*(?::(?:ro|rw))?$/,
      'write name:/path/in/container or /path/on/host:/path/in/container, with :ro at the end if it is read-only',
    ),
  z.strictObject({
    type: z.enum(['bind', 'volume']).describe('`bind` for a directory of the host, `volume` for a named volume.'),
    source: z.string().min(1).describe('The absolute path on the host, or the name of the volume.'),
    target: z.string().startsWith('/', 'is no absolute path').describe('The absolute path in the container.'),
    read_only: z.boolean().optional().describe('Whether the container may only read it.'),
  }),
]);

/** How an image is built, in the Compose specification's form. */
export const build = z.union([
  z.string().min(1),
  z.strictObject({
    context: z.string().min(1).default('.').describe('The folder that is sent; relative paths start at the project.'),
    dockerfile: z.string().min(1).default('Dockerfile').describe('The Dockerfile, below the context.'),
    args: z
      .union([variables, z.array(assignment)])
      .default({})
      .describe('Build arguments, as a map or a list of NAME=value.'),
    target: text.optional().describe('The stage of the Dockerfile to build.'),
  }),
]);

/** A health check in the Compose specification's form. */
export const composeHealthcheck = z.strictObject({
  test: textOrList.describe('The command that exits with 0 while the container is healthy, as Compose writes it.'),
  interval: composeDuration.optional().describe('The time between two checks.'),
  timeout: composeDuration.optional().describe('The time one check may take.'),
  retries: z.int().min(1).optional().describe('The failures in a row that make a container unhealthy.'),
  start_period: composeDuration.optional().describe('The time after the start in which failures do not count.'),
});

/** `deploy.resources` of the Compose specification, as far as one host can honour it. */
export const resources = z
  .strictObject({
    limits: z
      .strictObject({
        cpus: z
          .union([
            z.string().regex(/^\d+(?:\.\d+)?$/, 'is no number of CPUs; write it like "0.5"'),
            z.number().positive(),
          ])
          .optional()
          .describe('The share of CPUs a container may use: `0.5`, `2`.'),
        memory: z
          .string()
          .regex(SIZE, 'is no size; write it like 512m')
          .optional()
          .describe('The memory a container may use before it is ended: `512m`.'),
      })
      .describe('What one container may use at most.'),
  })
  .describe("The host's resources for one container.");

/** The keys that services and container accessories have in common. */
export const container = {
  image: image.describe('The image to run, with its tag or digest.'),
  command: textOrList.optional().describe("Replaces the image's command."),
  entrypoint: textOrList.optional().describe("Replaces the image's entrypoint."),
  environment: z
    .union([variables, z.array(assignment)])
    .default({})
    .describe('Environment variables, as a map or a list of NAME=value. `${NAME}` takes a secret from `.env.<name>`.'),
  volumes: z.array(volume).default([]).describe('Named volumes and directories of the host, as Compose writes them.'),
  user: z.union([z.string(), z.int()]).optional().describe('The user, or user:group, the container runs as.'),
  working_dir: text.optional().describe('The directory in the container the command starts in.'),
  stop_grace_period: composeDuration.optional().describe('The time between the request to stop and the kill.'),
  stop_signal: text.optional().describe('The signal that asks the container to stop.'),
  init: z.boolean().optional().describe('Whether a small init process forwards signals and reaps children.'),
  read_only: z.boolean().optional().describe("Whether the container's own file system is read-only."),
  tmpfs: textOrList.optional().describe('Paths in the container that are kept in memory.'),
  shm_size: z
    .string()
    .regex(SIZE, 'is no size; write it like 64m')
    .optional()
    .describe('The size of /dev/shm in the container: `64m`.'),
  cap_add: z.array(text).optional().describe('Kernel capabilities the container gets.'),
  cap_drop: z.array(text).optional().describe('Kernel capabilities the container loses; `ALL` drops all.'),
  security_opt: z.array(text).optional().describe('Security options, such as `no-new-privileges:true`.'),
  ulimits: z
    .record(z.string(), z.union([z.int(), z.strictObject({ soft: z.int(), hard: z.int() })]))
    .optional()
    .describe('Resource limits of the processes, such as `nofile`.'),
  labels: mapOrList.optional().describe('Labels of the container.'),
  extra_hosts: mapOrList.optional().describe('Additional names the container can resolve, such as `name:address`.'),
  logging: z
    .strictObject({
      driver: text.optional().describe("Docker's log driver."),
      options: z.record(z.string(), scalar).optional().describe("The driver's options."),
    })
    .optional()
    .describe('Replaces the log settings of the `docker` section for this container.'),
  platform: text.optional().describe('The platform of the image, such as `linux/amd64`.'),
  expose: z
    .array(z.union([z.string(), z.int()]))
    .optional()
    .describe('Ports that other containers of the app reach; routes make a port public.'),
};

/** Compose keys that have no place here, each with what to write instead. */
export const REFUSED: Readonly<Record<string, string>> = {
  ports: 'no port is published past the firewall; make it public with `routes: { <domain>: <service>:<port> }`',
  container_name: 'container names carry the app and the slot, so that two can run side by side; leave it out',
  restart: 'containers are always restarted until they are stopped on purpose; leave it out',
  network_mode: "containers run on the app's own network; leave it out",
  networks: 'all containers of an app share one network and find each other by name; leave it out',
  build: 'only services are built, with `release.images: build`; build and push it, then name it in `image`',
  env_file: 'secrets come from .env.<name>; write `environment: { NAME: ${NAME} }`',
  mem_limit: 'write `deploy: { resources: { limits: { memory: 512m } } }`',
  cpus: 'write `deploy: { resources: { limits: { cpus: 0.5 } } }`',
  scale: 'write `deploy: { replicas: 2 }`',
  secrets: 'write `environment: { NAME: ${NAME} }` and put the value into .env.<name>',
  configs: 'bring the file in the image, or mount it with `volumes`',
  links: 'containers of an app find each other by name; leave it out',
  profiles: 'what is declared runs; put it into another environment file instead',
  privileged: 'grant what it needs with `cap_add`',
};
