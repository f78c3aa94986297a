import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { run } from '#sandbox/sandbox';
import { scratch } from './scratch.ts';
import type { Order, Outcome } from './store-main.ts';

const MAIN = fileURLToPath(new URL('store-main.ts', import.meta.url));
const PLACE = '/opt/stores-under-test.mjs';

/** Brings the stores to a sandbox host as they are now, to be asked there one by one. */
export async function bringStores(name: string): Promise<void> {
  const outfile = join(scratch('stores'), 'main.mjs');
  const require = "const require = process.getBuiltinModule('node:module').createRequire(import.meta.url);";
  await build({
    ...{ entryPoints: [MAIN], outfile, bundle: true, platform: 'node', format: 'esm', target: 'node24' },
    ...{ banner: { js: require }, logLevel: 'warning' },
  });
  await run(name, ['sh', '-c', `cat > ${PLACE}`], { input: readFileSync(outfile) });
}

/** Asks a host's stores for one thing. */
export async function askStores(name: string, order: Order, timeout = 600): Promise<Outcome> {
  const node = 'exec "$(ls -d /opt/slipway/node-*/node | tail -1)" --disable-warning=ExperimentalWarning';
  const { stdout, stderr, exitCode } = await run(name, ['sh', '-c', `${node} ${PLACE}`], {
    input: JSON.stringify(order),
    timeout,
  });
  const line = stdout.trim().split('\n').at(-1) ?? '';
  if (!line.startsWith('{')) throw new Error(`The stores ended with ${exitCode}:\n${stdout}${stderr}`);
  return JSON.parse(line) as Outcome;
}
