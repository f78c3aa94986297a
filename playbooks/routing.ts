import type { Environment, Service } from '#inventory/environment';
import type { Facts } from '#protocol/facts';
import { appNetwork, freePools, isWithin, type SlotAddresses, slotAddresses } from './networks.ts';

/** A port of a service that at least one route leads to, with all replicas behind it. */
export interface Upstream {
  /** What nginx knows it by; `_blue` and `_green` are appended. */
  readonly name: string;
  readonly service: string;
  readonly port: number;
  /** The first domain that leads here. */
  readonly domain: string;
  readonly replicas: readonly SlotAddresses[];
}

/**
 * What bundlers call a file after its content, as nginx matches it: eight characters or more of a hash before the
 * extension. That a longer word looks the same does no harm: a file is only asked for elsewhere where it is not found.
 */
export const HASHED_ASSET = String.raw`"[._-][0-9A-Za-z_-]{8,}\.(?:css|m?js|map|json|wasm|svg|png|jpe?g|gif|webp|avif|ico|woff2?|ttf|otf|mp4|webm)$"`;

/** The name of an upstream, without its slot. */
function upstreamName(app: string, service: string, port: number): string {
  return `${app}_${service}_${port}`;
}

/** The services that a route leads to, in the order of their names. */
export function routedServices({ routes, services }: Environment): readonly Service[] {
  const names = new Set(routes.flatMap(({ paths }) => paths.map(({ service }) => service)));
  return Object.values(services)
    .filter(({ name }) => names.has(name))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** The services that no route leads to, in the order of their names. */
export function workerServices(environment: Environment): readonly Service[] {
  const routed = new Set(routedServices(environment).map(({ name }) => name));
  return Object.values(environment.services)
    .filter(({ name }) => !routed.has(name))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** The app's network on this host: the one it has, else one that neither the host nor another app uses. */
export function networkOf({ app, docker }: Environment, facts: Facts): string {
  const pools = freePools(docker.addressPools, facts.networks);
  const own = facts.apps[app]?.subnet;
  if (own !== undefined && isWithin(own, pools)) return own;
  const others = Object.values(facts.apps).flatMap(({ subnet }) => subnet ?? []);
  return appNetwork(app, pools, [...facts.networks, ...others]);
}

/** The fixed addresses of all replicas that stand behind the proxy. */
export function addressesOf(environment: Environment, facts: Facts): readonly SlotAddresses[] {
  return slotAddresses(networkOf(environment, facts), routedServices(environment));
}

/** What nginx passes requests on to, in the order of the routes. */
export function upstreamsOf(environment: Environment, facts: Facts): readonly Upstream[] {
  const addresses = addressesOf(environment, facts);
  const upstreams = new Map<string, Upstream>();
  for (const { domain, paths } of environment.routes) {
    for (const { service, port } of paths) {
      const name = upstreamName(environment.app, service, port);
      if (upstreams.has(name)) continue;
      const replicas = addresses.filter((replica) => replica.service === service);
      upstreams.set(name, { name, service, port, domain, replicas });
    }
  }
  return [...upstreams.values()];
}
