import type { Host } from '#resources/resource';

// proc(5) on /proc/net/tcp: column 2 is the local address, 3 the remote one, 4 the state (01 ESTABLISHED, 0A LISTEN); each
// 32-bit word of an address is written in the machine's byte order, which is little-endian on all that is supported.

/** An address and a port at one end of a connection. */
export interface Endpoint {
  readonly address: string;
  readonly port: number;
}

function endpoint(text: string): Endpoint {
  const [hex = '', port = '0'] = text.split(':');
  const words = hex.match(/.{8}/g) ?? [];
  const bytes = words.flatMap((word) => (word.match(/../g) ?? []).reverse().map((byte) => Number.parseInt(byte, 16)));
  return { address: written(bytes), port: Number.parseInt(port, 16) };
}

function written(bytes: readonly number[]): string {
  if (bytes.length === 4) return bytes.join('.');
  const isMapped = bytes.slice(0, 10).every((byte) => byte === 0) && bytes[10] === 255 && bytes[11] === 255;
  if (isMapped) return bytes.slice(12).join('.');
  if (bytes.every((byte) => byte === 0)) return '::';
  if (bytes.slice(0, 15).every((byte) => byte === 0)) return `::${bytes[15]}`;
  const groups = Array.from({ length: 8 }, (_, at) =>
    ((bytes[2 * at] ?? 0) * 256 + (bytes[2 * at + 1] ?? 0)).toString(16),
  );
  return groups.join(':');
}

function rows(table: string, state: string): readonly (readonly string[])[] {
  return table
    .split('\n')
    .slice(1)
    .map((row) => row.trim().split(/\s+/))
    .filter((columns) => columns[3] === state);
}

/** Where somebody listens, from the kernel's tables of TCP sockets. Docker's own resolver does not count. */
export function listeners(...tables: readonly string[]): readonly Endpoint[] {
  return tables
    .flatMap((table) => rows(table, '0A').map((columns) => endpoint(columns[1] ?? '')))
    .filter(({ address }) => address !== '127.0.0.11');
}

/** The near ends of the connections to any of the addresses, from the kernel's table of TCP sockets. */
export function connectionsTo(
  table: string,
  addresses: ReadonlySet<string>,
): readonly { readonly local: Endpoint; readonly remote: Endpoint }[] {
  return rows(table, '01')
    .map((columns) => ({ local: endpoint(columns[1] ?? ''), remote: endpoint(columns[2] ?? '') }))
    .filter(({ remote }) => addresses.has(remote.address));
}

/** Where a container's programs listen, read from its own network namespace through its first process. */
export async function listenersOf(host: Host, pid: number): Promise<readonly Endpoint[]> {
  const tables = await Promise.all(
    ['tcp', 'tcp6'].map((name) => host.readFile(`/proc/${pid}/net/${name}`).catch(() => undefined)),
  );
  return listeners(...tables.map((table) => table ?? ''));
}
