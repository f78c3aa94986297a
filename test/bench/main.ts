import { build } from './built.ts';

/** One benchmark, one file; each prints a table and, last, one line of JSON. */
const BENCHES: Readonly<Record<string, () => Promise<void>>> = {
  first: async () => (await import('./first.ts')).first(),
  fleet: async () => (await import('./fleet.ts')).fleet(),
  noop: async () => (await import('./noop.ts')).noopBench(),
  start: async () => (await import('./start.ts')).start(),
};

const chosen = process.argv.slice(2);
const unknown = chosen.find((name) => BENCHES[name] === undefined);
if (chosen.length === 0 || unknown !== undefined) {
  console.error(`npm run bench -- ${Object.keys(BENCHES).join('|')}`);
  process.exitCode = 2;
} else {
  build();
  for (const name of chosen) await BENCHES[name]?.();
}
