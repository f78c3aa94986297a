import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  cpSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import * as fc from 'fast-check';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { pack } from '#sandbox/images/archive';
import { difference, makeFolder, matcher, pathsIn } from '#sandbox/images/tree';

let room: string;
beforeEach(() => {
  room = mkdtempSync(join(tmpdir(), 'images-tree-'));
});
afterEach(() => {
  rmSync(room, { recursive: true, force: true });
});

const nothing = () => false;

/** A tree in words: a text is a file, `->x` a link, an object a folder. */
type Tree = { [name: string]: string | Tree };

function plant(folder: string, tree: Tree): void {
  mkdirSync(folder, { recursive: true });
  for (const [name, value] of Object.entries(tree)) {
    const path = join(folder, name);
    if (typeof value !== 'string') plant(path, value);
    else if (value.startsWith('->')) symlinkSync(value.slice(2), path);
    else writeFileSync(path, value);
  }
}

function read(folder: string): Tree {
  const entries = readdirSync(folder, { withFileTypes: true });
  return Object.fromEntries(
    entries.map((entry) => {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) return [entry.name, read(path)];
      return [entry.name, entry.isSymbolicLink() ? `->${readlinkSync(path)}` : readFileSync(path, 'utf8')];
    }),
  );
}

/** What an engine does with a layer: what is gone goes, and a folder merges with a folder only. */
function lay(folder: string, archive: string, paths: readonly string[], above: string): void {
  for (const path of paths) {
    const gone = basename(path).startsWith('.wh.');
    const target = gone ? join(folder, dirname(path), basename(path).slice(4)) : join(folder, path);
    const both = [target, join(above, path)].every((one) => lstatSync(one, { throwIfNoEntry: false })?.isDirectory());
    if (gone || !both) rmSync(target, { recursive: true, force: !gone });
  }
  execFileSync('tar', ['-xzf', archive, '-C', folder, '--exclude=.wh.*']);
}

test('a layer holds what is new, changed and gone, each with the folders above it', () => {
  const below = join(room, 'below');
  const above = join(room, 'above');
  plant(below, { etc: { same: 'a', edited: 'a', gone: 'a', mode: 'a', link: '->same' }, old: { deep: { x: '1' } } });
  cpSync(below, above, { recursive: true, preserveTimestamps: true, verbatimSymlinks: true });
  writeFileSync(join(above, 'etc/edited'), 'b');
  utimesSync(join(above, 'etc/edited'), 1, 1);
  chmodSync(join(above, 'etc/mode'), 0o600);
  rmSync(join(above, 'etc/gone'));
  rmSync(join(above, 'etc/link'));
  symlinkSync('edited', join(above, 'etc/link'));
  rmSync(join(above, 'old'), { recursive: true });
  plant(join(above, 'new'), { deep: { y: '2' } });
  for (const name of ['same', 'mode']) {
    // cpSync truncates times to the millisecond.
    utimesSync(join(below, 'etc', name), 5, 5);
    utimesSync(join(above, 'etc', name), 5, 5);
  }

  expect(difference(below, above, nothing)).toEqual([
    ...['.wh.old', 'etc', 'etc/.wh.gone', 'etc/edited', 'etc/link', 'etc/mode'],
    ...['new', 'new/deep', 'new/deep/y'],
  ]);
});

test('what is left out is neither taken nor reported as gone, nor is anything below it', () => {
  const below = join(room, 'below');
  const above = join(room, 'above');
  plant(below, { var: { log: { gone: 'x' } } });
  plant(above, { var: { log: { fresh: 'x' } }, proc: {} });
  expect(difference(below, above, matcher(['var/log/*']))).toEqual(['proc']);
});

test('patterns match one name at each star, and nothing else', () => {
  const matches = matcher(['usr/share/doc/*', 'etc/*-', 'a.b']);
  expect(['usr/share/doc/x', 'etc/passwd-', 'a.b'].map(matches)).toEqual([true, true, true]);
  expect(['usr/share/doc', 'usr/share/doc/x/y', 'etc/passwd', 'aXb'].map(matches)).toEqual([
    false,
    false,
    false,
    false,
  ]);
});

test('folders get their mode whatever the umask', () => {
  const before = process.umask(0o077);
  try {
    makeFolder(join(room, 'a/b'));
  } finally {
    process.umask(before);
  }
  const modes = [...pathsIn(room)].map(([path, { mode }]) => [path, Number(mode) & 0o777]);
  expect(modes).toEqual([
    ['a', 0o755],
    ['a/b', 0o755],
  ]);
});

test('the archive depends on the content alone, and the recorded digest is the digest of the file', async () => {
  for (const [name, time] of Object.entries({ one: 1000, two: 2000 })) {
    plant(join(room, name), { a: 'x', b: { c: 'y' } });
    utimesSync(join(room, name, 'a'), time, time);
  }
  const paths = ['a', 'b', 'b/c'];
  const one = await pack({ root: join(room, 'one'), paths }, join(room, 'one.tar.gz'));
  const two = await pack({ root: join(room, 'two'), paths }, join(room, 'two.tar.gz'));
  expect(one).toEqual(two);
  const file = readFileSync(join(room, 'one.tar.gz'));
  expect(`sha256:${createHash('sha256').update(file).digest('hex')}`).toBe(one.digest);
  expect(file.length).toBe(one.size);
});

test('a file that vanishes while it is packed is an error that names it', async () => {
  mkdirSync(join(room, 'x'));
  const packing = pack({ root: join(room, 'x'), paths: ['missing'] }, join(room, 'x.tar.gz'));
  await expect(packing).rejects.toMatchObject({ code: 'sandbox-image-failed', message: /missing/ });
});

const names = fc.constantFrom('a', 'b', 'c');
const leaf = fc.constantFrom('1', '22', '->a', '->b');
const trees: fc.Arbitrary<Tree> = fc.letrec<{ tree: Tree }>((tie) => ({
  tree: fc.dictionary(names, fc.oneof({ depthSize: 'small' }, leaf, tie('tree')), { maxKeys: 3 }),
})).tree;

test('whatever the trees, laying the layer on the one below gives the one above', async () => {
  await fc.assert(
    fc.asyncProperty(trees, trees, async (from, to) => {
      const here = mkdtempSync(join(room, 'case-'));
      const [below, above, archive] = [join(here, 'below'), join(here, 'above'), join(here, 'layer.tar.gz')];
      plant(below, from);
      plant(above, to);
      const paths = difference(below, above, nothing);
      await pack({ root: above, paths }, archive);
      lay(below, archive, paths, above);
      expect(read(below)).toEqual(to);
    }),
    { numRuns: 60 },
  );
});
