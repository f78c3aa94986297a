import { copyFileSync, existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '#core/run';
import { machineMirror } from '../mirror.ts';
import { must } from '../must.ts';
import { IMAGE_TIME } from './archive.ts';
import { runInTree } from './chroot.ts';
import { type Layer, type LayerContents, recipeKey, type Workbench } from './layer.ts';
import { matcher, pathsIn } from './tree.ts';

/** The release of Debian that all images are made from. */
const SUITE = 'trixie';

/** What no image needs: documentation, translations, package lists, logs, and the traces of its making. */
export const LEFT_OUT: readonly string[] = [
  ...['doc', 'man', 'info', 'locale', 'lintian', 'bug', 'bash-completion'].map((name) => `usr/share/${name}/*`),
  ...['proc/*', 'sys/*', 'dev/*', 'tmp/*', 'var/tmp/*', 'var/cache/*', 'var/log/*', 'var/lib/apt/lists/*'],
  ...[
    'etc/resolv.conf',
    'etc/hostname',
    'etc/machine-id',
    'etc/apt/apt.conf.d/99build',
    'etc/*-',
    'var/lib/dpkg/*-old',
  ],
];

const DPKG_RULES = `force-unsafe-io
${['doc', 'man', 'info', 'locale', 'lintian', 'bug'].map((name) => `path-exclude /usr/share/${name}/*`).join('\n')}
path-include /usr/share/doc/*/copyright
`;

/** Lets apt in the tree reach the mirror the way this machine's apt does: same resolver, same proxy, same authorities. */
async function shareNetwork(tree: string): Promise<void> {
  copyFileSync('/etc/resolv.conf', join(tree, 'etc/resolv.conf'));
  const { stdout } = await run(['apt-config', 'dump', 'Acquire::http::Proxy', 'Acquire::https::Proxy']);
  const authorities = '/etc/ssl/certs/ca-certificates.crt';
  const lines = [stdout, 'APT::Install-Recommends "false";', 'APT::Sandbox::User "root";'];
  if (existsSync(authorities)) {
    // Beside apt's lists, which no layer takes along: /tmp is emptied by some package scripts.
    copyFileSync(authorities, join(tree, 'var/lib/apt/lists/build-authorities.crt'));
    lines.push('Acquire::https::CaInfo "/var/lib/apt/lists/build-authorities.crt";');
  }
  writeFileSync(join(tree, 'etc/apt/apt.conf.d/99build'), `${lines.join('\n')}\n`);
}

async function bootstrap({ folder }: Workbench): Promise<LayerContents> {
  const tree = join(folder, 'tree');
  const { archive } = await machineMirror();
  await must(
    ['debootstrap', '--variant=minbase', SUITE, tree, ...(archive === undefined ? [] : [archive])],
    'build the Debian tree of its images',
    { timeout: 600 },
  );
  writeFileSync(join(tree, 'etc/dpkg/dpkg.cfg.d/image'), DPKG_RULES);
  // Packages that bring a service must not start it while an image is made.
  writeFileSync(join(tree, 'usr/sbin/policy-rc.d'), '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  await shareNetwork(tree);
  await runInTree(tree, 'debian', 'apt-get -q update', IMAGE_TIME);
  rmSync(join(tree, 'var/cache/apt/archives'), { recursive: true, force: true });
  return { root: tree, paths: [...pathsIn(tree, matcher(LEFT_OUT)).keys()] };
}

/** Debian 13 with nothing but what every Debian has: the layer below all images but the smallest. */
export const debian: Layer = {
  name: 'debian',
  key: recipeKey({ SUITE, LEFT_OUT, DPKG_RULES }),
  needs: [],
  keepsTree: true,
  make: bootstrap,
};
