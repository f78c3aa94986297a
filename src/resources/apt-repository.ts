import * as z from 'zod';
import { APT_PATIENCE, patienceOf, readSource } from '#resources/apt';
import { readTextFile, type TextFile, textFileChanges } from '#resources/file';
import { type Change, defineKind, type Host } from '#resources/resource';

const LISTS = '/var/lib/apt/lists';
const CANDIDATES = '/run/slipway/apt';
const ATTRIBUTES = { owner: 'root', group: 'root', mode: '0644' };

const word = z.string().regex(/^\S+$/);

const props = z.strictObject({
  /** apt reads no source whose name has another character (sources.list(5)). */
  name: z.string().regex(/^[a-z0-9_-]+$/),
  /** `https://download.docker.com/linux/debian`. */
  uri: z.url({ protocol: /^(https?|file)$/ }),
  /** Usually the distribution's code name; ends in a slash where the repository has no components. */
  suites: z.array(word).min(1),
  components: z.array(word).default(['main']),
  architectures: z.array(word).default([]),
  /** The repository's public key, ASCII-armored; packages with another signature are refused. */
  key: z.string().startsWith('-----BEGIN PGP PUBLIC KEY BLOCK-----'),
});

type Props = z.output<typeof props>;

interface RepositoryState {
  readonly key: TextFile | undefined;
  readonly source: TextFile | undefined;
  /** Whether apt has read what the repository offers. */
  readonly listed: boolean;
}

function keyPath(name: string): string {
  return `/etc/apt/keyrings/${name}.asc`;
}

function sourcePath(name: string): string {
  return `/etc/apt/sources.list.d/${name}.sources`;
}

/** The source in the deb822 form (sources.list(5)). */
export function sourceText({ uri, suites, components, architectures }: Props, key: string): string {
  const flat = suites.every((suite) => suite.endsWith('/'));
  const fields = [
    ['Types', 'deb'],
    ['URIs', uri],
    ['Suites', suites.join(' ')],
    ...(flat ? [] : [['Components', components.join(' ')]]),
    ...(architectures.length === 0 ? [] : [['Architectures', architectures.join(' ')]]),
    ['Signed-By', key],
  ];
  return `${fields.map(([name, value]) => `${name}: ${value}`).join('\n')}\n`;
}

/** How the names of a repository's lists begin: its URI without scheme, slashes as underscores, as apt writes them. */
export function listPrefix(uri: string): string {
  const bare = uri.replace(/^[a-z]+:\/\/(?:[^/@]*@)?/, '').replace(/\/*$/, '/');
  const coded = bare.replace(/[\\|{}[\]<>"^~_=!@#$%&*]/g, (mark) => `%${mark.charCodeAt(0).toString(16)}`);
  return coded.replaceAll('/', '_');
}

async function lists(host: Host, uri: string): Promise<readonly string[]> {
  const prefix = listPrefix(uri);
  return (await host.list(LISTS)).filter((name) => name.startsWith(prefix));
}

async function read(host: Host, { name, uri }: Props): Promise<RepositoryState | undefined> {
  const [key, source, names] = await Promise.all([
    readTextFile(host, keyPath(name)),
    readTextFile(host, sourcePath(name)),
    lists(host, uri),
  ]);
  if (key === undefined && source === undefined) return undefined;
  return { key, source, listed: names.some((list) => /Release$/.test(list)) };
}

function diff(state: RepositoryState | undefined, wanted: Props): readonly Change[] {
  const source = { content: sourceText(wanted, keyPath(wanted.name)), ...ATTRIBUTES };
  const key = textFileChanges(state?.key, { content: wanted.key, ...ATTRIBUTES });
  return [
    ...textFileChanges(state?.source, source),
    ...key.map(({ summary }) => ({ summary: `key: ${summary}` })),
    ...(state?.listed === true ? [] : [{ summary: 'read its lists of packages' }]),
  ];
}

async function apply(host: Host, wanted: Props): Promise<void> {
  const { name, key } = wanted;
  const candidate = { key: `${CANDIDATES}/${name}.asc`, source: `${CANDIDATES}/${name}.sources` };
  await host.writeFile(candidate.key, key, ATTRIBUTES);
  await host.writeFile(candidate.source, sourceText(wanted, candidate.key), ATTRIBUTES);
  try {
    await readSource(host, name, candidate.source, patienceOf(APT_PATIENCE));
  } finally {
    await host.removeFile(candidate.source);
    await host.removeFile(candidate.key);
  }
  await host.writeFile(keyPath(name), key, ATTRIBUTES);
  await host.writeFile(sourcePath(name), sourceText(wanted, keyPath(name)), ATTRIBUTES);
}

/** A package repository beside the distribution's own, with its key. */
export const aptRepositoryKind = defineKind({
  kind: 'apt-repository',
  summary: "A package repository beside the distribution's own; read and its signature checked before it counts.",
  props,
  id: ({ name }) => name,
  read,
  diff,
  apply,
  footprint: ({ name, uri }) => ({ name, uri }),
  async remove(host, { name, uri }) {
    await host.removeFile(sourcePath(name as string));
    await host.removeFile(keyPath(name as string));
    const stale = (await lists(host, uri as string)).map((list) => `${LISTS}/${list}`);
    if (stale.length > 0) await host.must(['rm', '-f', '--', ...stale]);
  },
  preexisting: 'remove',
});
