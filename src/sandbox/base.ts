import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { ensureAuthority, trustedAuthorities } from './authority.ts';
import { locked } from './lock.ts';
import { machineMirror, machineSources, mirrorOf } from './mirror.ts';
import { must } from './must.ts';
import { CACHE, packageFolder } from './places.ts';
import { removeTree, within, writeIn } from './tree.ts';

/** The Debian releases a sandbox host can have, and the names Debian's archive has for them. */
export const RELEASES = { 'debian-13': 'trixie', 'debian-12': 'bookworm' } as const;

export type Release = keyof typeof RELEASES;

/** Hears, in short sentences, what takes long. */
export type Report = (message: string) => void;

// What providers' images have and debootstrap's smallest variant has not. No curl, no wget, no python, no cron.
const PACKAGES = [
  ...['systemd', 'systemd-sysv', 'dbus', 'libpam-systemd', 'openssh-server', 'sudo', 'ca-certificates'],
  ...['iproute2', 'iputils-ping', 'netbase', 'procps', 'kmod'],
];

// Part of a base's recipe: raise it when the steps below change.
const STEPS = 1;

/** What a base is made of, as a hash: another one means another tree. */
export async function recipe(release: Release): Promise<string> {
  const parts = [STEPS, release, PACKAGES, [...(await trustedAuthorities())], await machineSources()];
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
}

function sources(release: Release, archive: string, security: string | undefined): string {
  const suite = RELEASES[release];
  const stanza = (uri: string, suites: string) =>
    [
      'Types: deb',
      `URIs: ${uri}`,
      `Suites: ${suites}`,
      'Components: main',
      'Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg',
      '',
    ].join('\n');
  const stanzas = [stanza(archive, `${suite} ${suite}-updates`)];
  if (security !== undefined) stanzas.push(stanza(security, `${suite}-security`));
  return stanzas.join('\n');
}

/** Makes a tree trust these authorities, by file name. */
async function trust(tree: string, authorities: ReadonlyMap<string, string>): Promise<void> {
  for (const [name, pem] of authorities) await writeIn(tree, `/usr/local/share/ca-certificates/${name}`, pem);
  await within(tree, ['update-ca-certificates']);
}

async function build(release: Release, tree: string): Promise<void> {
  const suite = RELEASES[release];
  const mirror = await machineMirror();
  const packages = packageFolder(suite);
  await mkdir(packages, { recursive: true });
  await must(
    [
      ...['debootstrap', '--variant=minbase', `--include=${PACKAGES.join(',')}`, `--cache-dir=${packages}`],
      ...[suite, tree, ...(mirror.archive === undefined ? [] : [mirror.archive])],
    ],
    `build the ${release} base`,
    { timeout: 1800 },
  );
  const archive = await mirrorOf(tree);
  const security = mirror.security ?? (mirror.archive === undefined ? `${archive}-security` : undefined);
  await rm(`${tree}/etc/apt/sources.list`);
  await writeIn(tree, '/etc/apt/sources.list.d/debian.sources', sources(release, archive, security));
  await trust(tree, await trustedAuthorities());
  await within(tree, ['apt-get', 'clean']);
  await symlink(
    '/usr/lib/systemd/system/systemd-networkd.service',
    `${tree}/etc/systemd/system/multi-user.target.wants/systemd-networkd.service`,
  );
  const keys = (await readdir(`${tree}/etc/ssh`)).filter((name) => name.startsWith('ssh_host_'));
  await Promise.all(keys.map((name) => rm(`${tree}/etc/ssh/${name}`)));
  await forgetLists(tree);
}

/** Removes what a tree's apt knows of its archives: large, and out of date by the time a host is made from the tree. */
export async function forgetLists(tree: string): Promise<void> {
  const lists = `${tree}/var/lib/apt/lists`;
  await Promise.all((await readdir(lists)).map((name) => rm(`${lists}/${name}`, { recursive: true })));
}

async function leftovers(name: string): Promise<readonly string[]> {
  const names = await readdir(`${CACHE}/trees`);
  return names.filter((entry) => entry.startsWith(`${name}.unfinished-`)).map((entry) => `${CACHE}/trees/${entry}`);
}

/**
 * A tree in the cache under this name, built when it is missing or was built from another recipe; the path of the
 * tree. Two callers at once build it once.
 */
export async function cachedTree(
  name: string,
  recipeHash: string,
  buildInto: (tree: string) => Promise<void>,
): Promise<string> {
  const tree = `${CACHE}/trees/${name}`;
  const stamp = `${tree}.recipe`;
  return await locked(`tree-${name}`, async () => {
    if ((await readFile(stamp, 'utf8').catch(() => undefined)) === recipeHash) return tree;
    await mkdir(`${CACHE}/trees`, { recursive: true });
    // Under a name of its own: what a killed process had started may still be writing into its tree.
    const unfinished = `${tree}.unfinished-${process.pid}`;
    await Promise.all([rm(stamp, { force: true }), removeTree(tree), ...(await leftovers(name)).map(removeTree)]);
    await buildInto(unfinished);
    await rename(unfinished, tree);
    await writeFile(stamp, recipeHash);
    return tree;
  });
}

/** The tree that bare hosts of a release are copied from; 40 s to build for the first time. */
export async function baseTree(release: Release, report: Report): Promise<string> {
  await locked('authority', ensureAuthority);
  return await cachedTree(release, await recipe(release), async (tree) => {
    report(`Building the ${release} base, once (about a minute)`);
    await build(release, tree);
  });
}
