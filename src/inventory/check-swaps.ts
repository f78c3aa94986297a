import { parseDuration } from '#core/units';
import type { Fault } from '#inventory/check';
import { valueAt } from '#inventory/issues';

const entriesOf = (value: unknown): [string, unknown][] =>
  value !== null && typeof value === 'object' && !Array.isArray(value) ? Object.entries(value) : [];

const field = (value: unknown, ...keys: readonly string[]): unknown => valueAt(value, keys);

const orderOf = (service: unknown): unknown => field(service, 'deploy', 'update_config', 'order');

/** Seconds of a duration as Compose writes it: `1m30s`. */
function composeSeconds(text: unknown): number {
  const parts = typeof text === 'string' ? (text.match(/\d+(?:ms|s|m|h)/g) ?? []) : [];
  return parts.reduce((sum, part) => sum + (parseDuration(part) ?? 0), 0);
}

/** A service that a route leads to and that cannot run twice; undefined where there is none. */
export function swapped(inventory: unknown, routed: ReadonlySet<string>): string | undefined {
  const services = entriesOf(field(inventory, 'services'));
  return services.find(([name, service]) => routed.has(name) && orderOf(service) === 'stop-first')?.[0];
}

/** Checks services that cannot run twice, given those that a route leads to. */
export function checkSwaps(inventory: unknown, routed: ReadonlySet<string>, fault: Fault): void {
  const declared = field(inventory, 'release', 'hold');
  const hold = parseDuration(typeof declared === 'string' ? declared : '30s') ?? Number.POSITIVE_INFINITY;
  for (const [name, service] of entriesOf(field(inventory, 'services'))) {
    if (!routed.has(name) || orderOf(service) !== 'stop-first') continue;
    const replicas = field(service, 'deploy', 'replicas');
    if (typeof replicas === 'number' && replicas > 1) {
      const message = `is ${replicas}, and \`update_config.order: stop-first\` says that the service cannot run twice; leave out one of the two`;
      fault(['services', name, 'deploy', 'replicas'], message);
    }
    if (composeSeconds(field(service, 'stop_grace_period')) >= hold) {
      const message = `leaves a new container no time to start: requests wait for ${hold} s in all (release.hold)`;
      fault(['services', name, 'stop_grace_period'], message);
    }
  }
}

/** The named volume that an entry of `volumes` lets a container write to. */
function writtenVolume(entry: unknown): readonly string[] {
  if (typeof entry === 'string') {
    const [source = '', , mode] = entry.split(':');
    return source.startsWith('/') || mode === 'ro' ? [] : [source];
  }
  const source = field(entry, 'source');
  const isWritten = field(entry, 'type') === 'volume' && field(entry, 'read_only') !== true;
  return isWritten && typeof source === 'string' ? [source] : [];
}

/** Warns of services whose old and new containers write to one volume for a while, where nobody has said that they may. */
export function sharedVolumes(inventory: unknown, routed: ReadonlySet<string>): readonly string[] {
  return entriesOf(field(inventory, 'services')).flatMap(([name, service]) => {
    const volumes = field(service, 'volumes');
    const [volume] = (Array.isArray(volumes) ? volumes : []).flatMap(writtenVolume);
    if (volume === undefined || !routed.has(name) || orderOf(service) !== undefined) return [];
    return [
      `services.${name} writes to the volume ${volume}, and a new release runs beside the old one for a while; name deploy.update_config.order: start-first where both may write, stop-first for what has one writer, such as SQLite`,
    ];
  });
}
