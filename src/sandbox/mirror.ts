import { readdir, readFile } from 'node:fs/promises';
import { run } from '#core/run';

/** Where a machine fetches Debian from; each undefined where its apt has no such source. */
export interface Mirror {
  readonly archive: string | undefined;
  readonly security: string | undefined;
}

/** One line per source: `<uri> <suite> <origin>`, as apt itself understands its configuration. */
const FORMAT = '$(REPO_URI) $(RELEASE) $(ORIGIN)';

const RELEASES = /^(bullseye|bookworm|trixie|forky|sid|oldstable|stable|testing|unstable)$/;

/** The Debian mirror out of what `apt-get indextargets` lists; other archives (Ubuntu's, a vendor's) are none. */
export function parseSources(listing: string): Mirror {
  const sources = listing.split('\n').map((line) => {
    const [uri = '', suite = '', origin = ''] = line.trim().split(' ');
    return { uri: uri.replace(/\/$/, ''), suite, origin };
  });
  const debian = sources.filter(({ uri, origin }) => uri !== '' && (origin === 'Debian' || origin === ''));
  const archive = debian.find(({ suite }) => RELEASES.test(suite));
  const security = debian.find(({ suite }) => suite.endsWith('-security') && RELEASES.test(suite.slice(0, -9)));
  return { archive: archive?.uri, security: security?.uri };
}

/** The Debian mirror that this machine's apt is configured with. */
export async function machineMirror(): Promise<Mirror> {
  const listing = await run(['apt-get', 'indextargets', '--format', FORMAT, 'Created-By: Packages']);
  return parseSources(listing.stdout);
}

/** What apt's configuration of sources says, word for word: quicker to read than to have apt understand it. */
export async function machineSources(): Promise<readonly string[]> {
  const folder = '/etc/apt/sources.list.d';
  const names = (await readdir(folder).catch(() => [])).sort().map((name) => `${folder}/${name}`);
  return await Promise.all(
    ['/etc/apt/sources.list', ...names].map(async (path) => await readFile(path, 'utf8').catch(() => '')),
  );
}

/** The mirror in the sources.list that debootstrap left in a tree. */
export async function mirrorOf(tree: string): Promise<string> {
  const line = await readFile(`${tree}/etc/apt/sources.list`, 'utf8');
  return line.split(' ')[1] ?? '';
}
