import type { Environment, Service } from '#inventory/environment';
import { definePlaybook, type PlaybookContext } from '#playbook/playbook';
import { release } from '#playbook/resources';
import { composeHealthcheck, composeLogging, composeVolumes, composeYaml, volumesSection } from './compose-text.ts';
import { environmentFile } from './environment-file.ts';
import type { SlotAddresses } from './networks.ts';
import { addressesOf, routedServices, upstreamsOf, workerServices } from './routing.ts';
import { volumeResources } from './volumes.ts';

type Slot = 'blue' | 'green';

const WHAT = {
  blue: 'the blue slot',
  green: 'the green slot',
  workers: 'the workers',
  command: 'the release command',
} as const;

/** What a person calls an image: its tag, or the beginning of its digest. */
function tagOf(image: string): string {
  const digest = image.split('@sha256:')[1];
  const tag = /:([^:/@]+)(?:@|$)/.exec(image.slice(image.lastIndexOf('/') + 1))?.[1];
  return tag ?? digest?.slice(0, 12) ?? 'latest';
}

/** What a service has in every slot and for every replica. */
function composeService({ app, docker }: Environment, service: Service): Record<string, unknown> {
  const { name, image, compose, volumes, healthcheck } = service;
  return {
    image,
    restart: 'unless-stopped',
    logging: composeLogging(docker),
    ...compose,
    env_file: [`../${name}.env`],
    ...(volumes.length === 0 ? {} : { volumes: composeVolumes(app, volumes) }),
    ...(healthcheck === undefined ? {} : { healthcheck: composeHealthcheck(healthcheck) }),
  };
}

/** A replica's own key in a Compose file. The dot keeps it apart from every declared name. */
function replicaKey(service: string, replica: number): string {
  return `${service}.${replica}`;
}

/** Each replica of a proxied service is a Compose service of its own, since its address is fixed. */
function replicaServices(environment: Environment, addresses: readonly SlotAddresses[], slot: Slot) {
  const routed = routedServices(environment);
  const keysOf = (name: string) =>
    addresses.filter(({ service }) => service === name).map(({ replica }) => replicaKey(name, replica));
  const entries = routed.flatMap((service) =>
    addresses
      .filter((address) => address.service === service.name)
      .map((address) => {
        const after = service.dependsOn.flatMap(keysOf);
        return [
          replicaKey(service.name, address.replica),
          {
            container_name: `${environment.app}-${slot}-${service.name}-${address.replica}`,
            ...composeService(environment, service),
            ...(after.length === 0 ? {} : { depends_on: after }),
            networks: { default: { aliases: [service.name], ipv4_address: address[slot] } },
          },
        ] as const;
      }),
  );
  return Object.fromEntries(entries);
}

function workers(environment: Environment): Record<string, unknown> {
  const services = workerServices(environment);
  const names = new Set(services.map(({ name }) => name));
  return Object.fromEntries(
    services.map((service) => {
      const { deploy, ...compose } = composeService(environment, service);
      const after = service.dependsOn.filter((name) => names.has(name));
      return [
        service.name,
        {
          ...compose,
          deploy: { ...(deploy as Record<string, unknown> | undefined), replicas: service.replicas },
          ...(after.length === 0 ? {} : { depends_on: after }),
        },
      ];
    }),
  );
}

/** The release command runs as the service whose image it is in, but for its name, its command, and that it ends. */
function commandService(environment: Environment, service: Service): Record<string, unknown> {
  const { deploy: _, healthcheck: __, entrypoint: ___, ...compose } = composeService(environment, service);
  return { command: { ...compose, command: environment.release.command, restart: 'no' } };
}

function project(
  { environment, render }: PlaybookContext,
  part: Slot | 'workers' | 'command',
  services: readonly Service[],
  content: Record<string, unknown>,
): string {
  const { app } = environment;
  return render('compose/project.yaml.hbs', {
    what: `${WHAT[part]} of ${app}`,
    project: `${app}-${part}`,
    network: app,
    services: composeYaml(content),
    volumes: volumesSection(
      app,
      services.flatMap(({ volumes }) => volumes),
    ),
  });
}

/** What has to answer before requests go to a new slot; the health path is asked at the port of the first route. */
function gates({ environment, facts }: PlaybookContext) {
  const seen = new Set<string>();
  return upstreamsOf(environment, facts).map(({ name, service, port, domain, replicas }) => {
    const path = seen.has(service) ? undefined : environment.services[service]?.healthPath;
    seen.add(service);
    const paths = environment.routes.find((route) => route.domain === domain)?.paths ?? [];
    return {
      service,
      port,
      domain,
      upstream: name,
      route: paths.find((one) => one.service === service && one.port === port)?.path ?? '/',
      ...(path === undefined ? {} : { path }),
      addresses: { blue: replicas.map(({ blue }) => blue), green: replicas.map(({ green }) => green) },
    };
  });
}

/** What leads to the app, in an order of its own. */
function routesOf({ routes }: Environment) {
  const all = routes.flatMap(({ domain, paths }) => paths.map((path) => ({ domain, ...path })));
  const key = ({ domain, path }: (typeof all)[number]) => `${domain} ${path}`;
  return all.sort((one, other) => (key(one) < key(other) ? -1 : 1));
}

/** The app itself: its environment, its Compose files for both slots, and the release that brings them live. */
export const app = definePlaybook({
  name: 'app',
  summary: "The app's services, started in the idle slot and switched to once they are healthy.",
  resources(context) {
    const { environment, facts } = context;
    const { healthTimeout, command, watch, canary, drain, hold, warm } = environment.release;
    const services = Object.values(environment.services);
    const routed = routedServices(environment);
    const main = environment.services[environment.routes[0]?.paths[0]?.service ?? ''] ?? services[0];
    if (main === undefined) return [];
    const addresses = addressesOf(environment, facts);
    const slot = (name: Slot) => project(context, name, routed, replicaServices(environment, addresses, name));
    const background = workerServices(environment);
    return [
      ...volumeResources(
        environment.app,
        services.flatMap(({ volumes }) => volumes),
      ),
      release(
        {
          app: environment.app,
          tag: tagOf(main.image),
          images: Object.fromEntries(services.map(({ name, image }) => [name, image])),
          environments: Object.fromEntries(
            services.map(({ name, environment: variables }) => [name, environmentFile(variables)]),
          ),
          slots: { blue: slot('blue'), green: slot('green') },
          ...(background.length === 0
            ? {}
            : { workers: project(context, 'workers', background, workers(environment)) }),
          ...(command === undefined
            ? {}
            : { command: project(context, 'command', [main], commandService(environment, main)) }),
          gates: gates(context),
          routes: routesOf(environment),
          hosts: Object.values(environment.hosts).map(({ address }) => address),
          healthTimeout,
          watch,
          canary: [...canary],
          drain,
          swap: routed.some(({ order }) => order === 'stop-first'),
          hold,
          overlap: Object.fromEntries(
            background.filter(({ order }) => order === 'start-first').map(({ name, replicas }) => [name, replicas]),
          ),
          warm,
        },
        { sensitive: true },
      ),
    ];
  },
});
