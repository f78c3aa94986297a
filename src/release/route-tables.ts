import { createHash } from 'node:crypto';
import type { ReleaseProps } from '#resources/release';
import { generationVariable, routeVariable } from '#resources/route-terms';
import { socketOf } from './hold.ts';
import type { Slot } from './slots.ts';

/** What the requests of a domain whose path begins so are passed on to. */
export interface Route {
  readonly domain: string;
  readonly path: string;
  /** What nginx knows it by, without a slot. */
  readonly upstream: string;
  /** `172.29.0.2:3000` */
  readonly servers: Readonly<Record<Slot, readonly string[]>>;
  /** Whether its requests may have to wait for a slot. */
  readonly waits: boolean;
}

/** All routes of a release; two releases with the same ones share a table. */
export type RouteTable = readonly Route[];

/** nginx knows two tables at a time: that of the slot that serves, and that of the release that follows it. */
export type TableName = 'a' | 'b';
export type RouteTables = Readonly<Partial<Record<TableName, RouteTable>>>;

const NAMES = ['a', 'b'] as const;

/** The routes of a release, in any order in which the same ones are written alike. */
export function tableOf({ routes, gates, swap }: Pick<ReleaseProps, 'routes' | 'gates' | 'swap'>): RouteTable {
  const table = routes.flatMap(({ domain, path, service, port }) =>
    gates
      .filter((gate) => gate.service === service && gate.port === port)
      .map(({ upstream, addresses }): Route => {
        const servers = (slot: Slot) => addresses[slot].map((address) => `${address}:${port}`);
        return { domain, path, upstream, servers: { blue: servers('blue'), green: servers('green') }, waits: swap };
      }),
  );
  const key = ({ domain, path }: Route) => `${domain} ${path}`;
  return table.sort((one, other) => (key(one) < key(other) ? -1 : 1));
}

const isSame = (one: RouteTable | undefined, other: RouteTable) => JSON.stringify(one) === JSON.stringify(other);

/** Makes a table known beside the one that the live slot goes by; the other gives way, unless one of them is it. */
export function admit(
  tables: RouteTables,
  live: TableName | undefined,
  wanted: RouteTable,
): { readonly tables: RouteTables; readonly name: TableName } {
  const order = live === 'b' ? (['b', 'a'] as const) : NAMES;
  const known = order.find((name) => isSame(tables[name], wanted));
  if (known !== undefined) return { tables, name: known };
  const name = live === 'a' ? 'b' : 'a';
  return { tables: { ...tables, [name]: wanted }, name };
}

/** The path as nginx compares it: decoded. */
function bytesOf(path: string): Buffer {
  const encoded = /^(?:[^%]|%[0-9A-Fa-f]{2})*$/.test(path) ? path : path.replaceAll('%', '%25');
  const bytes = [...Buffer.from(encoded)];
  const decoded: number[] = [];
  for (let at = 0; at < bytes.length; at += 1) {
    const isEscape = bytes[at] === 0x25;
    decoded.push(
      isEscape ? Number.parseInt(String.fromCharCode(...bytes.slice(at + 1, at + 3)), 16) : (bytes[at] ?? 0),
    );
    if (isEscape) at += 2;
  }
  return Buffer.from(decoded);
}

/** Bytes written so that neither nginx nor a regular expression nor a URL reads more into them. */
function spelled(bytes: Buffer, plain: RegExp, mark: string): string {
  return [...bytes]
    .map((byte) => {
      const character = String.fromCharCode(byte);
      return plain.test(character) ? character : `${mark}${byte.toString(16).padStart(2, '0')}`;
    })
    .join('');
}

const inExpression = (bytes: Buffer): string => spelled(bytes, /[A-Za-z0-9/_-]/, '\\x');
const inUrl = (bytes: Buffer): string =>
  spelled(bytes, /[A-Za-z0-9/._~-]/, '%').replaceAll(/%../g, (one) => one.toUpperCase());

/** Entries of a map, the longest path first; a path that ends with a slash is also what is gone to from without it. */
function entriesOf(name: TableName, table: RouteTable, upstreamOf: (route: Route) => string): readonly string[] {
  const entries = table.flatMap((route) => {
    const { domain } = route;
    const path = bytesOf(route.path);
    const host = inExpression(Buffer.from(domain));
    const entry = (length: number, expression: string, to: string) => ({
      length,
      text: `    "~^${name} ${host} ${expression}" ${to};`,
    });
    const bare = path.subarray(0, -1);
    const isBareOwn = table.some((one) => one.domain === domain && bytesOf(one.path).equals(bare));
    const redirects = path.length > 1 && path.at(-1) === 0x2f && !isBareOwn;
    return [
      entry(path.length, inExpression(path), upstreamOf(route)),
      ...(redirects ? [entry(bare.length, `${inExpression(bare)}\\z`, inUrl(path))] : []),
    ];
  });
  return entries.sort((one, other) => other.length - one.length).map(({ text }) => text);
}

// An idle slot must not be remembered as dead (max_fails), and connections are kept to a slot for a short time only,
// so that those seen on the old one after a cutover are real. Short also against the app's own patience: whoever closes an idle
// connection first must not be the app, since a POST that meets the close cannot be repeated.
function slotText(name: string, { upstream, servers, waits }: Route, slot: Slot): string {
  const all = [
    ...servers[slot].map((server) => `${server} max_fails=0`),
    // A request whose body took long to arrive may find its slot stopped.
    ...(waits ? [`unix:${socketOf(upstream)} max_fails=0 backup`] : []),
  ];
  const lines = all.map((server) => `    server ${server};\n`).join('');
  return `upstream ${name}_${slot} {\n${lines}    keepalive 64;\n    keepalive_timeout 1s;\n}\n`;
}

/** Both slots, and who is passed on to while neither may serve: connections wait there until somebody accepts them. */
function upstreamText(name: string, route: Route): string {
  const held = `upstream ${name}_held {\n    server unix:${socketOf(route.upstream)} max_fails=0;\n}\n`;
  return `${slotText(name, route, 'blue')}${slotText(name, route, 'green')}${held}`;
}

/** What tells one state of an app's tables from another. */
export function generationOf(tables: RouteTables): string {
  const { a = [], b = [] } = tables;
  return createHash('sha256').update(JSON.stringify({ a, b })).digest('hex').slice(0, 12);
}

const GENERATION = /\n {4}default ([0-9a-f]{12});\n/;

/** The state of an app's tables that a rendered text is of. */
export function generationIn(text: string | undefined): string | undefined {
  return GENERATION.exec(text ?? '')?.[1];
}

/**
 * An app's tables as nginx reads them: what a request is passed on to by the table its slot goes by, its domain and its
 * path, and both slots of all that. Which slot, and which table for it, is asked of files at every request.
 */
export function renderTables(app: string, tables: RouteTables): string {
  const upstreams = new Map<string, string>();
  const nameIn = (table: TableName, route: Route): string => {
    const { upstream } = route;
    const there = upstreams.get(upstream);
    // The same service with other replicas.
    const name = there === undefined || there === upstreamText(upstream, route) ? upstream : `${upstream}_${table}`;
    upstreams.set(name, upstreamText(name, route));
    return name;
  };
  const entries = NAMES.flatMap((name) => entriesOf(name, tables[name] ?? [], (route) => nameIn(name, route)));
  return `# Written by Slipway for ${app}: where the routes of its last two releases lead.

map $host $${generationVariable(app)} {
    default ${generationOf(tables)};
}

map "$slipway_table $server_name $uri" $${routeVariable(app)} {
    volatile;
    default '';
${entries.map((entry) => `${entry}\n`).join('')}}

${[...upstreams.values()].join('')}`;
}
