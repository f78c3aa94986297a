import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { debian } from './debian.ts';
import type { Image } from './image.ts';
import type { Layer } from './layer.ts';
import { filesLayer, installed } from './layers.ts';

/** How a release of the demo app misbehaves; see its `DEMO_MODE`. */
type DemoMode = 'crash' | 'unhealthy';

const node = installed('node', {
  accounts: `
groupadd --gid 1000 node
useradd --uid 1000 --gid node --no-create-home --home-dir /app --shell /bin/bash node
`,
  packages: ['nodejs'],
  without: ['usr/share/nodejs/corepack', 'usr/share/nodejs/node-corepack', 'usr/bin/corepack'],
});

/** The demo app as one file: the one that was built beside this program, or, in a checkout, bundled from its source. */
async function program(): Promise<string> {
  const built = fileURLToPath(new URL('demo-app.cjs', import.meta.url));
  if (existsSync(built)) return readFileSync(built, 'utf8');
  const { build } = await import('esbuild');
  const result = await build({
    entryPoints: [fileURLToPath(new URL('../demo-app.ts', import.meta.url))],
    bundle: true,
    write: false,
    platform: 'node',
    format: 'cjs',
    target: 'node20',
    minify: true,
    // pg's optional native driver, and ws's optional accelerators: neither is there, and neither is needed.
    external: ['pg-native', 'bufferutil', 'utf-8-validate'],
    logLevel: 'error',
  });
  return result.outputFiles[0]?.text ?? '';
}

let app: Promise<Layer> | undefined;

/** `demo:…`: the demo app. Versions differ in the last layer alone, a file of a few bytes. */
export async function demo({ version, mode }: { version: string; mode?: DemoMode }): Promise<Image> {
  app ??= program().then((content) => filesLayer('demo-app', { 'app/demo-app.cjs': { content } }));
  const release = filesLayer(`demo-${version}`, { 'app/VERSION': { content: `${version}\n` } });
  return {
    layers: [debian, node, await app, release],
    run: {
      User: 'node',
      WorkingDir: '/app',
      Cmd: ['node', '/app/demo-app.cjs'],
      Env: ['NODE_ENV=production', ...(mode === undefined ? [] : [`DEMO_MODE=${mode}`])],
      ExposedPorts: { '3000/tcp': {} },
    },
  };
}
