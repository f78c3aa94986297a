import { parseDuration } from '#core/units';
import { backupRegrets, checkBackups } from '#inventory/check-backups';
import { checkHardening, hardeningRegrets } from '#inventory/check-hardening';
import { checkSwaps, sharedVolumes, swapped } from '#inventory/check-swaps';
import { canonicalDomain, isUntagged } from '#inventory/formats';
import type { Path } from '#inventory/tree';

/** A fault that no schema can see, because it lies between two parts of an inventory. */
export type Fault = (path: Path, message: string, part?: 'key' | 'value') => void;

/** The entries of what should be a map; none where it is something else, which the schema reports. */
function entriesOf(value: unknown): [string, unknown][] {
  return value !== null && typeof value === 'object' && !Array.isArray(value) ? Object.entries(value) : [];
}

function field(value: unknown, key: string): unknown {
  return entriesOf(value).find(([name]) => name === key)?.[1];
}

/**
 * Checks what the parts of an inventory say about each other. The inventory is plain data that the schema may have
 * refused, so that all problems come out at once.
 */
export function checkRelations(inventory: unknown, fault: Fault): void {
  checkHosts(inventory, fault);
  checkNames(inventory, fault);
  checkRoutes(inventory, fault);
  checkHealth(inventory, fault);
  checkOrder(inventory, fault);
  checkSwaps(inventory, routedTo(inventory), fault);
  checkPools(inventory, fault);
  checkCanary(inventory, fault);
  checkHardening(inventory, fault);
  checkBackups(inventory, fault);
}

function checkHosts(inventory: unknown, fault: Fault): void {
  const seen = new Map<string, string>();
  for (const [name, host] of entriesOf(field(inventory, 'hosts'))) {
    const address = field(host, 'address');
    if (typeof address !== 'string') continue;
    const key = `${address.toLowerCase()} port ${field(host, 'port') ?? 22}`;
    const other = seen.get(key);
    if (other !== undefined) fault(['hosts', name, 'address'], `is the same machine as hosts.${other}`);
    seen.set(key, other ?? name);
  }
}

/** The name PgBouncer answers to on the app's network, for the PostgreSQL accessory it stands in front of. */
export function pgbouncerName(accessory: string): string {
  return accessory === 'postgres' ? 'pgbouncer' : `${accessory}-pgbouncer`;
}

function checkNames(inventory: unknown, fault: Fault): void {
  const services = field(inventory, 'services');
  const accessories = entriesOf(field(inventory, 'accessories'));
  const taken = new Set([...entriesOf(services), ...accessories].map(([name]) => name));
  for (const [name, accessory] of accessories) {
    if (field(services, name) !== undefined) {
      fault(
        ['accessories', name],
        'has the name of a service; both would answer to it on the network of the app',
        'key',
      );
    }
    const isPooled = field(accessory, 'type') === 'postgres' && field(accessory, 'pgbouncer') !== false;
    const pool = pgbouncerName(name);
    if (isPooled && taken.has(pool)) {
      const section = field(services, pool) === undefined ? 'accessories' : 'services';
      const message = `has the name of the PgBouncer in front of accessories.${name}; rename it, or set its pgbouncer to false`;
      fault([section, pool], message, 'key');
    }
  }
}

function checkRoutes(inventory: unknown, fault: Fault): void {
  const seen = new Map<string, string>();
  for (const [domain, route] of entriesOf(field(inventory, 'routes'))) {
    const canonical = canonicalDomain(domain);
    const other = seen.get(canonical);
    if (other !== undefined)
      fault(['routes', domain], `is the same domain as "${other}"; a domain has one route`, 'key');
    seen.set(canonical, other ?? domain);
    if (!Array.isArray(route)) {
      checkTarget(inventory, route, ['routes', domain], fault);
      continue;
    }
    const paths = new Set<unknown>();
    for (const [index, part] of route.entries()) {
      const path = field(part, 'path') ?? '/';
      if (paths.has(path)) fault(['routes', domain, index], `leads "${path}" a second time`);
      paths.add(path);
      checkTarget(inventory, field(part, 'to'), ['routes', domain, index, 'to'], fault);
    }
  }
}

function checkTarget(inventory: unknown, target: unknown, path: Path, fault: Fault): void {
  const [, service, port] = (typeof target === 'string' && /^([a-z][a-z0-9-]*):(\d{1,5})$/.exec(target)) || [];
  if (service === undefined) return;
  if (Number(port) < 1 || Number(port) > 65_535) fault(path, 'has an impossible port; ports go from 1 to 65535');
  if (field(field(inventory, 'services'), service) !== undefined) return;
  if (field(field(inventory, 'accessories'), service) !== undefined) {
    fault(path, `leads to the accessory "${service}"; accessories are not public, declare it under services`);
    return;
  }
  const services = entriesOf(field(inventory, 'services')).map(([name]) => name);
  const known = services.length === 0 ? 'none is declared' : `declared: ${services.join(', ')}`;
  fault(path, `leads to the unknown service "${service}"; ${known}`);
}

/** The services that a route leads to. */
function routedTo(inventory: unknown): ReadonlySet<string> {
  const targets = entriesOf(field(inventory, 'routes')).flatMap(([, route]) =>
    Array.isArray(route) ? route.map((part) => field(part, 'to')) : [route],
  );
  return new Set(targets.flatMap((target) => (typeof target === 'string' ? (target.split(':')[0] ?? []) : [])));
}

function checkHealth(inventory: unknown, fault: Fault): void {
  const routed = routedTo(inventory);
  for (const [name, service] of entriesOf(field(inventory, 'services'))) {
    const path = field(field(service, 'healthcheck'), 'path');
    if (path === undefined || routed.has(name)) continue;
    const message = 'is asked at the port of a route, and no route leads to this service; use `test` instead';
    fault(['services', name, 'healthcheck', 'path'], message);
  }
}

/** The names in `depends_on`, in either form of the Compose specification. */
export function dependenciesOf(service: unknown): readonly string[] {
  const declared = field(service, 'depends_on');
  const names = Array.isArray(declared) ? declared : entriesOf(declared).map(([name]) => name);
  return names.filter((name) => typeof name === 'string');
}

function checkOrder(inventory: unknown, fault: Fault): void {
  const services = new Map(entriesOf(field(inventory, 'services')));
  const accessories = field(inventory, 'accessories');
  for (const [name, service] of services) {
    for (const dependency of dependenciesOf(service)) {
      if (!services.has(dependency) && field(accessories, dependency) === undefined) {
        fault(['services', name, 'depends_on'], `names "${dependency}", which is neither a service nor an accessory`);
      }
    }
    const circle = circleFrom(name, services);
    if (circle !== undefined) fault(['services', name, 'depends_on'], `goes in a circle: ${circle.join(' → ')}`);
  }
}

/** The way from a service back to itself; reported once, at the service that comes first in the alphabet. */
function circleFrom(start: string, services: ReadonlyMap<string, unknown>): readonly string[] | undefined {
  const visited = new Set<string>();
  const walk = (way: readonly string[]): readonly string[] | undefined => {
    for (const next of dependenciesOf(services.get(way.at(-1) ?? start))) {
      if (next === start) return [...way, next];
      if (visited.has(next) || next < start) continue;
      visited.add(next);
      const found = walk([...way, next]);
      if (found !== undefined) return found;
    }
    return undefined;
  };
  return walk([start]);
}

function checkPools(inventory: unknown, fault: Fault): void {
  const pools = field(field(inventory, 'docker'), 'addressPools');
  for (const [index, pool] of (Array.isArray(pools) ? pools : []).entries()) {
    const base = field(pool, 'base');
    const size = field(pool, 'size');
    if (typeof base !== 'string' || typeof size !== 'number') continue;
    const [address = '', prefix] = base.split('/');
    const path: Path = ['docker', 'addressPools', index];
    if (prefix === undefined) fault([...path, 'base'], 'is one address; write a network like 172.29.0.0/16');
    else if (size < Number(prefix)) fault([...path, 'size'], `is larger than the whole pool; at least ${prefix}`);
    else if (size > (address.includes(':') ? 126 : 30)) fault([...path, 'size'], 'leaves no address for a container');
  }
}

function checkCanary(inventory: unknown, fault: Fault): void {
  const release = field(inventory, 'release');
  const steps = field(release, 'canary');
  if (!Array.isArray(steps) || steps.length === 0) return;
  const path: Path = ['release', 'canary'];
  if (parseDuration(String(field(release, 'watch'))) === 0) {
    fault(path, 'is tried on some clients without being watched; give release.watch a time, such as 30s');
  }
  const single = swapped(inventory, routedTo(inventory));
  if (single !== undefined) {
    fault(path, `has two releases run side by side, and services.${single} cannot run twice (order: stop-first)`);
  }
}

/** What is allowed and yet likely to be regretted. */
export function regrets(inventory: unknown): readonly string[] {
  const images = ['services', 'accessories'].flatMap((section) =>
    entriesOf(field(inventory, section)).flatMap(([name, container]) => [
      { path: `${section}.${name}.image`, image: field(container, 'image') },
      { path: `${section}.${name}.pgbouncer.image`, image: field(field(container, 'pgbouncer'), 'image') },
    ]),
  );
  const untagged = images.flatMap(({ path, image }) =>
    typeof image === 'string' && isUntagged(image)
      ? [`${path} names no tag, so it means ${image}:latest; a tag says which version runs`]
      : [],
  );
  return [
    ...untagged,
    ...sharedVolumes(inventory, routedTo(inventory)),
    ...hardeningRegrets(inventory),
    ...backupRegrets(inventory),
  ];
}
