import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Environment } from '#inventory/environment';
import { loadEnvironment } from '#inventory/load';

/** A public key that opens nothing. */
export const KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExampleExampleExampleExampleExampleExample01 test';

/** The smallest inventory that is valid, with a service behind a route. */
export const MINIMAL = `app: shop
hosts:
  vps: { address: 203.0.113.10 }
ssh:
  authorizedKeys: [${KEY}]
services:
  web: { image: "acme/shop:1" }
routes:
  shop.example.com: web:3000
`;

/** Calls back with a project directory that holds these files, and removes it afterwards. */
export async function withProject<T>(
  files: Readonly<Record<string, string>>,
  use: (directory: string) => Promise<T>,
): Promise<T> {
  const directory = await mkdtemp(join(tmpdir(), 'slipway-inventory-'));
  try {
    for (const [path, text] of Object.entries(files)) {
      await mkdir(dirname(join(directory, path)), { recursive: true });
      await writeFile(join(directory, path), text, { mode: 0o600 });
    }
    return await use(directory);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** The environment `prod` of a project with these files. */
export async function load(files: Readonly<Record<string, string>>): Promise<Environment> {
  return await withProject(files, (directory) => loadEnvironment(directory, 'prod'));
}

/** What a person reads when the environment `prod` of a project with these files is loaded. */
export async function refusal(files: Readonly<Record<string, string>>): Promise<string> {
  return await withProject(files, async (directory) => {
    const environment = await loadEnvironment(directory, 'prod').catch((error: Error) => error);
    if (!(environment instanceof Error)) return 'no error';
    return environment.message.replaceAll(directory, '<project>');
  });
}
