import { createHash } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { baseTree, cachedTree, forgetLists, type Release, type Report, recipe } from './base.ts';
import { setResolvers } from './identity.ts';
import { machineNameservers } from './network.ts';
import { keepPackages, lendPackages } from './packages.ts';
import { copyTree, within, writeIn } from './tree.ts';

// Part of each tree's recipe: raise it when the steps below change.
const STEPS = 1;

interface Equipment {
  /** What the tree is called in the cache. */
  readonly name: string;
  readonly release: Release;
  readonly packages: readonly string[];
}

/** A release's tree with further packages, built when it is missing; none of them has ever been started. */
export async function equippedTree({ name, release, packages }: Equipment, report: Report): Promise<string> {
  const base = await baseTree(release, report);
  const hash = createHash('sha256').update(JSON.stringify([STEPS, packages, await recipe(release)]));
  return await cachedTree(name, hash.digest('hex'), async (tree) => {
    report(`Installing ${packages.length} packages, once (up to a minute)`);
    await copyTree(base, tree);
    await setResolvers(tree, await machineNameservers());
    await lendPackages(tree, release);
    // A tree is not a running system: nothing may be started in it.
    await writeIn(tree, '/usr/sbin/policy-rc.d', '#!/bin/sh\nexit 101\n', 0o755);
    await within(tree, ['apt-get', '--quiet', 'update']);
    await within(tree, ['apt-get', '--quiet', '--yes', '--no-install-recommends', 'install', ...packages]);
    await rm(`${tree}/usr/sbin/policy-rc.d`);
    await keepPackages(tree, release);
    await within(tree, ['apt-get', 'clean']);
    await forgetLists(tree);
  });
}
