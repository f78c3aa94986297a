import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CLI } from './built.ts';
import { type Contender, interleave, medianOf, timed } from './measure.ts';
import { circumstances, print, row, spread } from './report.ts';

const NODE = 'node -e 0';

// One of each: an unknown key, a wrong type, an image forgotten, a secret that nobody set.
const INVALID = `app: shop
hosts: { web-1: { address: 203.0.113.10, prot: 22 } }
services:
  web: { environment: { KEY: "\${MISSING}" } }
routes: { shop.example.com: 3000 }
`;

/** How long a person waits for what needs no host. */
export async function start(rounds = 25): Promise<void> {
  const project = mkdtempSync(join(tmpdir(), 'slipway-bench-'));
  mkdirSync(join(project, 'inventory'));
  writeFileSync(join(project, 'inventory', 'prod.yaml'), INVALID);
  const deploy = (args: readonly string[], expect = 0): Contender => ({
    name: ['deploy', ...args.slice(0, 2)].join(' '),
    run: () => timed([process.execPath, CLI, ...args], { cwd: project, expect: [expect] }),
  });
  const contenders = [
    { name: NODE, run: () => timed([process.execPath, '-e', '0']) },
    deploy(['--help']),
    deploy(['--version']),
    deploy(['up', 'prod'], 2),
  ];
  const conditions = circumstances();
  try {
    const samples = await interleave(contenders, rounds);
    const names: Readonly<Record<string, string>> = { 'deploy up prod': 'deploy up on an invalid inventory' };
    const rows = contenders.slice(1).map(({ name }) =>
      row({
        name: names[name] ?? name,
        link: 'direct',
        slipway: medianOf(samples, name),
        peer: NODE,
        peerValue: medianOf(samples, NODE),
      }),
    );
    console.log(spread(samples));
    print('start', rows, [conditions]);
  } finally {
    rmSync(project, { recursive: true, force: true });
  }
}
