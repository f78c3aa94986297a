import { posix } from 'node:path';
import * as z from 'zod';
import { readTextFile, type TextFile, textFileChanges } from '#resources/file';
import { NGINX, tryNginx } from '#resources/nginx-trial';
import { type Change, defineKind, type Host } from '#resources/resource';

const path = z
  .string()
  .regex(/^[A-Za-z0-9_][A-Za-z0-9._/-]*$/, 'is a path below /etc/nginx, such as conf.d/shop.conf')
  .refine((text) => posix.normalize(text) === text && !text.startsWith('..'), 'stays below /etc/nginx');

const props = z.strictObject({
  name: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/),
  /** Contents by path below /etc/nginx: a server, its upstreams, maps and snippets go in together or not at all. */
  files: z.record(path, z.string()),
  /** Paths of others below /etc/nginx whose place this takes, such as `sites-enabled/default`; they come back with its removal. */
  replaces: z.array(path).default([]),
});
type Props = z.output<typeof props>;

interface State {
  readonly files: Readonly<Record<string, TextFile>>;
  /** Files of an earlier declaration that are no longer part of it. */
  readonly leftover: readonly string[];
  /** Whether all its files are known to be its own. */
  readonly known: boolean;
  /** What is to be replaced and still there. */
  readonly inTheWay: readonly string[];
}

interface Footprint {
  readonly name: string;
  readonly files: readonly string[];
  readonly replaces: readonly string[];
}

const ATTRIBUTES = { mode: '0644', owner: 'root', group: 'root' };
const PRIVATE = { mode: '0600', owner: 'root', group: 'root' };
const live = (relative: string): string => `${NGINX}/${relative}`;
const RECORDS = '/var/lib/slipway/nginx';
const record = (name: string): string => `${RECORDS}/${name}.json`;
/** Where what was replaced waits for its return. */
const aside = (relative: string): string => `${RECORDS}/replaced/${relative}`;

async function recorded(host: Host, name: string): Promise<readonly string[]> {
  const schema = z.array(z.string());
  try {
    return schema.parse(JSON.parse((await host.readFile(record(name))) ?? '[]'));
  } catch {
    return [];
  }
}

/** Every file that a site of ours put below /etc/nginx. */
export async function allRecorded(host: Host): Promise<ReadonlySet<string>> {
  const names = (await host.list(RECORDS)).filter((file) => file.endsWith('.json')).map((file) => file.slice(0, -5));
  const files = await Promise.all(names.map((name) => recorded(host, name)));
  return new Set(files.flat().map(live));
}

async function read(host: Host, { name, files, replaces }: Props): Promise<State | undefined> {
  const there = await Promise.all(
    Object.keys(files).map(async (relative) => [relative, await readTextFile(host, live(relative))] as const),
  );
  const earlier = await recorded(host, name);
  const stats = await Promise.all(
    replaces.map(async (relative) => [relative, await host.stat(live(relative))] as const),
  );
  const found = there.flatMap(([relative, file]) => (file === undefined ? [] : [[relative, file] as const]));
  if (found.length === 0 && earlier.length === 0) return undefined;
  return {
    files: Object.fromEntries(found),
    leftover: earlier.filter((relative) => !(relative in files)),
    known: Object.keys(files).every((relative) => earlier.includes(relative)),
    inTheWay: stats.filter(([, stat]) => stat !== undefined).map(([relative]) => relative),
  };
}

function diff(state: State | undefined, { files, replaces }: Props): readonly Change[] {
  const changes = Object.entries(files).flatMap(([relative, content]) =>
    textFileChanges(state?.files[relative], { content, ...ATTRIBUTES }).map((change) => ({
      ...change,
      summary: `${change.summary} ${relative}`,
    })),
  );
  const inTheWay = state === undefined ? replaces : state.inTheWay;
  return [
    ...changes,
    ...(state?.leftover ?? []).map((relative) => ({ summary: `remove ${relative}` })),
    ...inTheWay.map((relative) => ({ summary: `replace ${relative}` })),
    ...(changes.length === 0 && state?.known === false ? [{ summary: 'take over its files' }] : []),
  ];
}

async function putAside(host: Host, relative: string): Promise<void> {
  if ((await host.stat(live(relative))) === undefined) return;
  await host.must(['mkdir', '-p', posix.dirname(aside(relative))]);
  await host.must(['mv', '--no-target-directory', '--', live(relative), aside(relative)]);
}

async function bringBack(host: Host, relative: string): Promise<void> {
  if ((await host.stat(aside(relative))) === undefined || (await host.stat(live(relative))) !== undefined) return;
  await host.run(['mv', '--no-target-directory', '--', aside(relative), live(relative)]);
}

/** Files of nginx that belong together: a site, its upstreams, maps and snippets. */
export const nginxSiteKind = defineKind({
  kind: 'nginx-site',
  summary: 'nginx files that belong together, tried with `nginx -t` in a private copy before they replace what runs.',
  props,
  id: ({ name }) => name,
  read,
  diff,
  async apply(host, wanted, state) {
    const { name, files, replaces } = wanted;
    const leftover = state?.leftover ?? [];
    const candidates = Object.fromEntries(
      Object.entries(files).map(([relative, content]) => [live(relative), content]),
    );
    await tryNginx(host, name, candidates, [...leftover, ...replaces].map(live), await allRecorded(host));
    // Written first, so that a crash in between leaves no file that nobody remembers.
    const owned = [...new Set([...(await recorded(host, name)), ...Object.keys(files)])];
    await host.writeFile(record(name), `${JSON.stringify(owned)}\n`, PRIVATE);
    for (const relative of replaces) await putAside(host, relative);
    for (const [at, content] of Object.entries(candidates)) await host.writeFile(at, content, ATTRIBUTES);
    for (const relative of leftover) await host.removeFile(live(relative));
    await host.writeFile(record(name), `${JSON.stringify(Object.keys(files))}\n`, PRIVATE);
  },
  footprint: ({ name, files, replaces }): Record<string, unknown> => ({
    name,
    files: Object.keys(files),
    replaces,
  }),
  async remove(host, footprint) {
    const { name, files, replaces } = footprint as unknown as Footprint;
    const owned = new Set([...files, ...(await recorded(host, name))]);
    for (const relative of owned) await host.removeFile(live(relative));
    for (const relative of replaces) await bringBack(host, relative);
    await host.removeFile(record(name));
  },
  preexisting: 'remove',
});
