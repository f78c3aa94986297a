import { link, mkdir, readdir } from 'node:fs/promises';
import { RELEASES, type Release } from './base.ts';
import { packageFolder } from './places.ts';

const ARCHIVES = '/var/cache/apt/archives';

async function linkMissing(from: string, to: string): Promise<void> {
  await mkdir(to, { recursive: true });
  const there = new Set(await readdir(to));
  const names = await readdir(from).catch(() => []);
  const missing = names.filter((name) => name.endsWith('.deb') && !there.has(name));
  // Each is the same file under two names, and neither side ever writes into one; a second caller may have been first.
  await Promise.all(missing.map(async (name) => await link(`${from}/${name}`, `${to}/${name}`).catch(() => undefined)));
}

/** Gives a host's apt every package that was kept, as if it had downloaded them already. */
export async function lendPackages(tree: string, release: Release): Promise<void> {
  await linkMissing(packageFolder(RELEASES[release]), `${tree}${ARCHIVES}`);
}

/** Keeps what a host's apt has downloaded for the next one. */
export async function keepPackages(tree: string, release: Release): Promise<void> {
  await linkMissing(`${tree}${ARCHIVES}`, packageFolder(RELEASES[release]));
}
