import { lookup } from 'node:dns/promises';
import { isIP, Socket } from 'node:net';
import { networkInterfaces } from 'node:os';
import type { Answer } from '#protocol/audit';
import type { Facts } from '#protocol/facts';

/** Seconds within which a port answers; one that is filtered never does. */
const PATIENCE = 0.6;
const AT_ONCE = 160;

/** Ports that people leave open by mistake: databases, engines, panels, and the services that scanners look for first. */
const WELL_KNOWN: readonly number[] = [
  21, 22, 23, 25, 53, 80, 110, 111, 135, 139, 143, 389, 443, 445, 465, 587, 631, 873, 993, 995, 1433, 1521, 1883, 2049,
  2181, 2222, 2375, 2376, 2377, 3000, 3001, 3306, 3389, 4000, 4369, 5000, 5001, 5432, 5433, 5601, 5672, 5900, 5984,
  6379, 6380, 6432, 6443, 7000, 7946, 8000, 8001, 8008, 8080, 8081, 8086, 8088, 8443, 8500, 8888, 9000, 9001, 9042,
  9090, 9092, 9093, 9100, 9200, 9300, 9418, 9443, 10000, 10250, 11211, 15672, 25565, 26257, 27017, 50000,
];

/** Whether this machine itself has an address of a family with which it could reach others. */
function speaks(family: 4 | 6): boolean {
  return Object.values(networkInterfaces())
    .flatMap((entries) => entries ?? [])
    .some(({ internal, address }) => !internal && isIP(address) === family && !address.startsWith('fe80'));
}

/** The address at which a host is looked at over each family: as declared, as DNS knows it, else as it says itself. */
async function addressesOf(address: string, facts: Facts): Promise<ReadonlyMap<4 | 6, string>> {
  const known = isIP(address) === 0 ? await lookup(address, { all: true }).catch(() => []) : [];
  const all = [...(isIP(address) === 0 ? [] : [address]), ...known.map((one) => one.address), ...facts.addresses];
  const families = ([4, 6] as const).flatMap((family) => {
    const first = all.find((one) => isIP(one) === family);
    return first === undefined ? [] : [[family, first] as const];
  });
  return new Map(families);
}

function answers(address: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = new Socket();
    const end = (isOpen: boolean) => {
      socket.destroy();
      resolve(isOpen);
    };
    // Where this machine is busy, an answer may have come and not been read: it is heard before the time is up.
    socket.setTimeout(PATIENCE * 1000, () => setImmediate(() => end(false)));
    socket.once('connect', () => end(true));
    socket.once('error', () => end(false));
    socket.connect({ host: address, port, autoSelectFamily: false });
  });
}

async function open(address: string, ports: readonly number[]): Promise<readonly number[]> {
  const left = [...ports];
  const found: number[] = [];
  const look = async () => {
    for (let port = left.shift(); port !== undefined; port = left.shift()) {
      if (await answers(address, port)) found.push(port);
    }
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, left.length) }, look));
  return found;
}

/** What is reached from here, and over which port. */
export interface Reached {
  /** As the inventory names it. */
  readonly address: string;
  /** The address and the port of the open connection: sshd answers there, so it is not bothered again. */
  readonly connected: { readonly address: string; readonly port: number } | undefined;
}

/** Looks at one host from outside, as often as it takes. */
export interface Outside {
  /** Looks at more ports; those that were looked at already are not looked at again. */
  look(ports: readonly number[]): Promise<void>;
  /** What answered, for the keys `open-tcp4` and `open-tcp6`. */
  answers(): readonly Answer[];
}

/** Looks at a host from this machine: well-known ports, declared ones, and all that the host says it listens on. */
export async function lookFromOutside(
  { address, connected }: Reached,
  facts: Facts,
  declared: readonly number[],
): Promise<Outside> {
  const addresses = await addressesOf(address, facts);
  const seen = new Map<4 | 6, Set<number>>([
    [4, new Set()],
    [6, new Set()],
  ]);
  const found = new Map<4 | 6, Set<number>>([
    [4, new Set()],
    [6, new Set()],
  ]);
  const lookOver = async (family: 4 | 6, ports: readonly number[]) => {
    const at = addresses.get(family);
    if (at === undefined || !speaks(family)) return;
    const isConnected = connected?.address === at;
    if (isConnected) found.get(family)?.add(connected.port);
    const fresh = [...new Set(ports)].filter(
      (port) => seen.get(family)?.has(port) !== true && !(isConnected && port === connected.port),
    );
    for (const port of fresh) seen.get(family)?.add(port);
    for (const port of await open(at, fresh)) found.get(family)?.add(port);
  };
  const outside: Outside = {
    look: async (ports) => {
      await Promise.all(([4, 6] as const).map((family) => lookOver(family, ports)));
    },
    answers: () =>
      ([4, 6] as const).map((family): Answer => {
        const key = `open-tcp${family}`;
        const at = addresses.get(family);
        if (at === undefined) return { probe: 'outside', key, cannot: `the host has no IPv${family} address` };
        if (!speaks(family)) return { probe: 'outside', key, cannot: `this machine has no IPv${family}` };
        const ports = [...(found.get(family) ?? [])].sort((a, b) => a - b);
        if (ports.length === 0) return { probe: 'outside', key, cannot: `nothing at ${at} answers this machine` };
        return { probe: 'outside', key, value: ports.join(',') };
      }),
  };
  await outside.look([...WELL_KNOWN, ...declared, ...facts.listening.map(({ port }) => port)]);
  return outside;
}
