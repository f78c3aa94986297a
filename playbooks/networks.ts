import { createHash } from 'node:crypto';
import { DeployError } from '#core/errors';

// Everything here is about IPv4: Docker's bridge networks are, unless told otherwise.

interface Network {
  /** The first address as a number. */
  readonly start: number;
  /** How many addresses there are. */
  readonly size: number;
}

interface Pool {
  readonly base: string;
  readonly size: number;
}

/** 512 addresses for each app: half for what Docker numbers itself, half for slots. */
const PREFIX = 23;
/** Less than 64 addresses are no use: 16 replicas in each slot. */
const LONGEST_PREFIX = 26;

function parseAddress(text: string): number | undefined {
  const octets = text.split('.').map(Number);
  if (octets.length !== 4 || octets.some((octet) => !Number.isInteger(octet) || octet < 0 || octet > 255))
    return undefined;
  return octets.reduce((value, octet) => value * 256 + octet, 0);
}

function formatAddress(value: number): string {
  return [24, 16, 8, 0].map((bits) => Math.floor(value / 2 ** bits) % 256).join('.');
}

function parseNetwork(text: string): Network | undefined {
  const [address = '', prefix = '32'] = text.split('/');
  const start = parseAddress(address);
  return start === undefined ? undefined : { start, size: 2 ** (32 - Number(prefix)) };
}

function overlap(a: Network, b: Network): boolean {
  return a.start < b.start + b.size && b.start < a.start + a.size;
}

/** Whether a network lies in one of the pools. */
export function isWithin(network: string, pools: readonly Pool[]): boolean {
  const inner = parseNetwork(network);
  return pools.some(({ base }) => {
    const pool = parseNetwork(base);
    if (inner === undefined || pool === undefined) return false;
    return inner.start >= pool.start && inner.start + inner.size <= pool.start + pool.size;
  });
}

/** A number from a name: the same everywhere and at every time. */
function spread(name: string, below: number): number {
  return createHash('sha256').update(name).digest().readUInt32BE() % below;
}

/** The address pools that no network of the host overlaps with; `address-pools-taken` where none is left. */
export function freePools(pools: readonly Pool[], used: readonly string[]): readonly Pool[] {
  const taken = used.flatMap((text) => parseNetwork(text) ?? []);
  const free = pools.filter(({ base }) => {
    const network = parseNetwork(base);
    return network === undefined || !taken.some((other) => overlap(network, other));
  });
  if (free.length > 0) return free;
  throw new DeployError(
    'address-pools-taken',
    `The host is on ${used.join(', ')}, which overlaps with every network Docker may use: ${pools.map(({ base }) => base).join(', ')}.`,
    { hint: 'Name a private network that is free in `docker.addressPools` of the inventory.' },
  );
}

/**
 * The network of an app, cut out of the upper half of a pool (Docker takes its own from the lower end). It depends on
 * the app's name alone as long as the host's networks leave it free, so it is the same at every run.
 */
export function appNetwork(app: string, pools: readonly Pool[], used: readonly string[]): string {
  const taken = used.flatMap((text) => parseNetwork(text) ?? []);
  for (const { base } of pools) {
    const pool = parseNetwork(base);
    const prefix = Math.max(PREFIX, Number(base.split('/')[1]) + 1);
    if (pool === undefined || prefix > LONGEST_PREFIX) continue;
    const size = 2 ** (32 - prefix);
    const count = pool.size / 2 / size;
    const first = spread(app, count);
    for (let step = 0; step < count; step += 1) {
      const start = pool.start + pool.size / 2 + ((first + step) % count) * size;
      if (!taken.some((other) => overlap(other, { start, size }))) return `${formatAddress(start)}/${prefix}`;
    }
  }
  throw new DeployError('address-pools-taken', `No pool of Docker has room for the network of ${app}.`, {
    hint: 'Name a private network of at least /25 that is free in `docker.addressPools` of the inventory.',
  });
}

/** One replica of a service, and its addresses in the two slots. */
export interface SlotAddresses {
  readonly service: string;
  /** Counted from 1. */
  readonly replica: number;
  readonly blue: string;
  readonly green: string;
}

/**
 * Fixed addresses for the replicas of proxied services in the upper half of the app's network. A replica's place comes
 * from its own name, so that a service that is added (save one in a hundred) moves none that serves already.
 */
export function slotAddresses(
  network: string,
  services: readonly { readonly name: string; readonly replicas: number }[],
): readonly SlotAddresses[] {
  const { start, size } = parseNetwork(network) ?? { start: 0, size: 0 };
  // The last pair would hold the broadcast address.
  const places = size / 4 - 1;
  const replicas = services
    .flatMap(({ name, replicas: count }) =>
      Array.from({ length: count }, (_, index) => ({ service: name, replica: index + 1 })),
    )
    .sort((a, b) => a.replica - b.replica || (a.service < b.service ? -1 : 1));
  if (replicas.length > places) {
    throw new DeployError(
      'too-many-replicas',
      `${network} has room for ${places} replicas in each slot, not for ${replicas.length}.`,
      {
        hint: 'Lower `deploy.replicas`, or name a larger network in `docker.addressPools`.',
      },
    );
  }
  const occupied = new Set<number>();
  return replicas.map(({ service, replica }) => {
    let place = spread(`${service}/${replica}`, places);
    while (occupied.has(place)) place = (place + 1) % places;
    occupied.add(place);
    const blue = start + size / 2 + 2 * place;
    return { service, replica, blue: formatAddress(blue), green: formatAddress(blue + 1) };
  });
}
