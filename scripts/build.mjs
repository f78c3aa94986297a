// Bundles the command line into dist/ and the host's runner into one file, and tells their sizes.

import { createHash } from 'node:crypto';
import { readFileSync, rmSync, statSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { build } from 'esbuild';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const { values } = parseArgs({ options: { 'runner-only': { type: 'boolean' }, outdir: { type: 'string' } } });
const dist = values.outdir === undefined ? join(root, 'dist') : resolve(values.outdir);
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

// Bundled CommonJS packages ask for `require`. Schemas are used once in a process's life: compiling them, as zod does
// unless it is told otherwise, costs more than it saves (20 ms of a run on a host).
const banner = [
  "const require = process.getBuiltinModule('node:module').createRequire(import.meta.url);",
  'globalThis.__zod_globalConfig ??= { jitless: true };',
].join(' ');

const builtins = new Set(builtinModules);

/** An `import` of a built-in module touches each of its exports, and some load much behind them (fetch, 40 ms in all). */
const builtinsAsNeeded = {
  name: 'builtins-as-needed',
  setup(bundler) {
    bundler.onResolve({ filter: /^[a-z_:/]+$/ }, ({ path }) => {
      const name = path.replace(/^node:/, '');
      return builtins.has(name) ? { path: `node:${name}`, namespace: 'builtin' } : undefined;
    });
    bundler.onLoad({ filter: /.*/, namespace: 'builtin' }, ({ path }) => ({
      contents: `module.exports = process.getBuiltinModule(${JSON.stringify(path)})`,
    }));
  },
};

const shared = {
  absWorkingDir: root,
  bundle: true,
  platform: 'node',
  format: 'esm',
  minify: true,
  keepNames: true,
  legalComments: 'none',
  banner: { js: banner },
  plugins: [builtinsAsNeeded],
  // ssh2's WebAssembly loader asks where it lies, and needs no answer.
  define: { SLIPWAY_VERSION: JSON.stringify(version), __dirname: '"/"' },
  external: ['cpu-features', 'esbuild'],
  // ssh2 tries a native add-on and does without it.
  loader: { '.node': 'empty' },
  logLevel: 'warning',
};

const hostSide = /^#(host|release|certificates|audit)\//;

if (values.outdir === undefined) rmSync(dist, { recursive: true, force: true });

await build({
  ...shared,
  entryPoints: { 'slipway-host': 'src/host/main.ts' },
  outdir: dist,
  outExtension: { '.js': '.mjs' },
  target: 'node24',
});

if (values['runner-only'] !== true) {
  await build({
    ...shared,
    entryPoints: { deploy: 'src/cli/main.ts' },
    outdir: dist,
    outExtension: { '.js': '.mjs' },
    chunkNames: 'chunks/[name]-[hash]',
    splitting: true,
    target: 'node20.19',
    plugins: [
      builtinsAsNeeded,
      {
        // What only a host runs is loaded there when needed; a laptop never carries it.
        name: 'leave-the-host-side-out',
        setup(bundler) {
          bundler.onResolve({ filter: hostSide }, ({ path }) => ({ path, external: true }));
        },
      },
    ],
  });
  await build({
    ...shared,
    entryPoints: { 'chunks/demo-app': 'src/sandbox/demo-app.ts' },
    outdir: dist,
    format: 'cjs',
    outExtension: { '.js': '.cjs' },
    banner: {},
    plugins: [],
    external: ['pg-native', 'bufferutil', 'utf-8-validate'],
    target: 'node20',
  });
  console.log(`command line ${Math.round(statSync(join(dist, 'deploy.mjs')).size / 1024)} kB and its chunks`);
}

const runner = readFileSync(join(dist, 'slipway-host.mjs'));
const hash = createHash('sha256').update(runner).digest('hex').slice(0, 16);
const kilobytes = (file) => `${Math.round(statSync(join(dist, file)).size / 1024)} kB`;
console.log(`runner ${kilobytes('slipway-host.mjs')} (${hash})`);
