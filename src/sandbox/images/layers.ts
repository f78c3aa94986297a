import { chmodSync, chownSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { copyTree } from '../tree.ts';
import { IMAGE_TIME } from './archive.ts';
import { runInTree } from './chroot.ts';
import { debian, LEFT_OUT } from './debian.ts';
import { type Layer, type LayerContents, type LayerFile, recipeKey } from './layer.ts';
import { difference, makeFolder, matcher, pathsIn } from './tree.ts';

const ROOT = [0, 0] as const;

type Files = Readonly<Record<string, LayerFile>>;

/** A layer on top of Debian: accounts, packages and what a script makes of them. */
export interface InstalledRecipe {
  /** Run before anything is installed: accounts with the numbers that the official image has. */
  readonly accounts?: string;
  /** Installed with what they depend on, without what they recommend. */
  readonly packages?: readonly string[];
  /** Unpacked alone: for programs whose package depends on far more than they need to run. */
  readonly unpack?: readonly string[];
  /** Run after the packages are there. */
  readonly script?: string;
  readonly files?: Files;
  /** Paths that stay out of the layer; `*` stands for anything within one name. */
  readonly without?: readonly string[];
  /** The folder that is the whole layer, standing on nothing, instead of what changed in Debian's tree. */
  readonly alone?: string;
}

function putFiles(tree: string, files: Files): void {
  for (const [path, { content, mode = 0o644, owner = ROOT }] of Object.entries(files)) {
    const file = join(tree, path);
    makeFolder(dirname(file));
    writeFileSync(file, content);
    chmodSync(file, mode);
    chownSync(file, owner[0], owner[1]);
  }
}

// What was unpacked without its dependencies is proven to find every library before anyone runs it.
const UNPACK = `
unpack() {
  local folder package program missing
  folder=$(mktemp -d)
  cd "$folder"
  apt-get -q download "$@"
  for package in *.deb; do
    dpkg-deb --fsys-tarfile "$package" | tar --extract --verbose --directory=/ --keep-directory-symlink >> unpacked
  done
  for program in $(sed -nE 's#^\\.(/usr/(s?bin|lib/postgresql/[0-9]+/bin)/.+)#\\1#p' unpacked); do
    missing=$(ldd "$program" 2> /dev/null | grep 'not found' || true)
    [ -z "$missing" ] || { echo "$program lacks libraries: $missing" >&2; exit 1; }
  done
  cd /
  rm -r "$folder"
}
`;

function buildScript({ accounts = '', packages = [], unpack = [], script = '' }: InstalledRecipe): string {
  return [
    accounts,
    packages.length === 0 ? '' : `apt-get -q -y install ${packages.join(' ')}`,
    unpack.length === 0 ? '' : `${UNPACK}\nunpack ${unpack.join(' ')}`,
    script,
  ].join('\n');
}

/** A layer made by installing into a copy of Debian's tree and keeping what became different. */
export function installed(name: string, recipe: InstalledRecipe): Layer {
  return {
    name,
    key: recipeKey([debian.key, UNPACK, recipe]),
    needs: [debian],
    keepsTree: false,
    async make({ folder, treeOf }): Promise<LayerContents> {
      const tree = join(folder, 'tree');
      await copyTree(treeOf(debian), tree);
      await runInTree(tree, name, buildScript(recipe), IMAGE_TIME);
      putFiles(tree, recipe.files ?? {});
      const left = matcher([...LEFT_OUT, ...(recipe.without ?? [])]);
      if (recipe.alone === undefined) return { root: tree, paths: difference(treeOf(debian), tree, left) };
      const root = join(tree, recipe.alone);
      return { root, paths: [...pathsIn(root).keys()] };
    },
  };
}

/** A layer that consists of the given files and the folders above them. */
export function filesLayer(name: string, files: Files): Layer {
  return {
    name,
    key: recipeKey(files),
    needs: [],
    keepsTree: false,
    make({ folder }): Promise<LayerContents> {
      const root = join(folder, 'tree');
      if (!existsSync(root)) mkdirSync(root, { recursive: true });
      putFiles(root, files);
      return Promise.resolve({ root, paths: [...pathsIn(root).keys()] });
    },
  };
}
