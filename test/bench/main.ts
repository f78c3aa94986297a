import { parseArgs } from 'node:util';
import { build } from './built.ts';

/**
 * One benchmark, one file; each prints a table and, last, one line of JSON. Takes how many rounds are measured, and
 * under how many requests a second where there is a load, and how many megabytes of data there are.
 */
const BENCHES: Readonly<Record<string, (rounds?: number, rate?: number, size?: number) => Promise<void>>> = {
  noop: async (rounds) => (await import('./noop.ts')).noopBench(rounds),
  first: async (rounds) => (await import('./first.ts')).first(rounds),
  start: async (rounds) => (await import('./start.ts')).start(rounds),
  release: async (rounds, rate) => (await import('./release.ts')).releaseBench(rounds, rate),
  proof: async (rounds, rate) => (await import('./proof.ts')).proofBench(rounds, rate),
  proxy: async (rounds) => (await import('./proxy.ts')).proxyBench(rounds),
  push: async (rounds) => (await import('./push.ts')).pushBench(rounds),
  fleet: async (rounds) => (await import('./fleet.ts')).fleet(rounds),
  backup: async (rounds, rate, size) => (await import('./backup.ts')).backupBench(rounds, rate, size),
  hardening: async () => (await import('./hardening.ts')).hardening(),
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { rounds: { type: 'string' }, rate: { type: 'string' }, size: { type: 'string' } },
});
const [rounds, rate, size] = [values.rounds, values.rate, values.size].map((text) =>
  text === undefined ? undefined : Number(text),
);
const unknown = positionals.find((name) => BENCHES[name] === undefined);
if (positionals.length === 0 || unknown !== undefined || [rounds, rate, size].some(Number.isNaN)) {
  console.error(
    `npm run bench -- ${Object.keys(BENCHES).join('|')} [--rounds <number>] [--rate <number>] [--size <MB>]`,
  );
  process.exitCode = 2;
} else {
  build();
  try {
    for (const name of positionals) await BENCHES[name]?.(rounds, rate, size);
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  }
}
