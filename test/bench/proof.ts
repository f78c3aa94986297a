import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { AUTHORITIES } from '#sandbox/places';
import { type Lag, startLoad } from '#test/support/load';
import { control } from '#test/support/load-controls';
import { type Entry, latencyOf } from '#test/support/load-record';
import { CLI } from './built.ts';
import { deploy } from './deploy.ts';
import { timed } from './measure.ts';
import { DOMAIN, makeProject, type Project, wayTo, writeInventory } from './project.ts';
import { BOOT, causes, FAR, failedOf, ground, inventory } from './release.ts';
import { circumstances, print, row } from './report.ts';

const NAME = 'bench-proof';
/** Milliseconds of load before the first command and after the last, and between two. */
const STEADY = 5000;
const PAUSE = 500;
/** Requests for each release, so that twenty of them come to more than 100,000. */
const REQUESTS = 5100;
/** Milliseconds of a maintenance. */
const MAINTENANCE = 3000;

/** Releases that fail before they serve, each in a way of its own: by their image or by what their environment says. */
const FAILING = [{ tag: 'crash' }, { tag: 'unhealthy' }, { mode: 'redirect' }, { mode: 'killed' }, { mode: 'hang' }];

interface Loaded {
  readonly entries: readonly Entry[];
  readonly lag: Lag;
}

async function underLoad(port: number, rate: number, work: () => Promise<unknown>): Promise<Loaded> {
  const target = { address: FAR, port, domain: DOMAIN, ca: readFileSync(AUTHORITIES, 'utf8') };
  await using load = await startLoad(target, rate);
  await sleep(STEADY);
  await work();
  await sleep(STEADY);
  return await load.stop();
}

const counts = { releases: 0, rollbacks: 0, failed: 0, canaries: 0, maintenances: 0 };

function command(project: Project, verb: readonly string[], options: readonly string[] = [], code = 0) {
  const argv = [process.execPath, CLI, ...verb, project.environment, '--project', project.folder, ...options];
  return timed(argv, { expect: [code] });
}

/** One release after the other, and between them all else that can happen to one. */
async function releases(
  project: Project,
  rounds: number,
  rate: number,
  declare: (round: number, mode?: string) => void,
) {
  const began = Date.now();
  const at = (round: number, share: number) => round % Math.max(1, Math.round(rounds * share)) === 0;
  let number = 0;
  const next = (mode?: string) => {
    number += 1;
    declare(number, mode);
  };
  for (let round = 1; round <= rounds; round += 1) {
    console.error(`release ${round} of ${rounds}`);
    next();
    await command(project, ['release'], ['--tag', round % 2 === 1 ? 'v2' : 'v1']);
    counts.releases += 1;
    await sleep(PAUSE);
    if (at(round, 0.2)) {
      await command(project, ['rollback']);
      counts.rollbacks += 1;
      await sleep(PAUSE);
      const failing = FAILING[counts.failed % FAILING.length];
      next(failing?.mode);
      await command(project, ['release'], ['--tag', failing?.tag ?? 'v2'], 4);
      counts.failed += 1;
    }
    if (at(round, 0.5)) {
      next();
      await command(project, ['release'], ['--tag', round % 2 === 1 ? 'v1' : 'v2', '--canary', '20,60']);
      counts.canaries += 1;
    }
    if (round === Math.ceil(rounds / 2)) {
      await command(project, ['maintenance', 'on']);
      await sleep(MAINTENANCE);
      await command(project, ['maintenance', 'off']);
      counts.maintenances += 1;
    }
  }
  await sleep(Math.max(0, began + (REQUESTS * rounds * 1000) / rate - Date.now()));
}

function lagOf({ p50, p99, most }: Lag): string {
  return `half ${p50.toFixed(1)} ms, 99 in 100 ${p99.toFixed(1)} ms, most ${most.toFixed(0)} ms`;
}

/** Everything that can happen to an app's releases, one after the other under full traffic over a far link. */
export async function proofBench(rounds = 20, rate = 500): Promise<void> {
  await using place = await ground(NAME);
  const { host, there, images } = place;
  const conditions = circumstances();
  using project = makeProject([wayTo(host, FAR)], there);
  const declare = (round: number, mode?: string) => {
    const reached = { [host.name]: { address: FAR, identityFile: host.keyFile } };
    const more = mode === undefined ? {} : { DEMO_MODE: mode };
    writeInventory(project, inventory(reached, there, images.v1, round, more));
  };
  declare(0);
  console.error('bringing the host up');
  await deploy('up', project);
  const ours = await underLoad(443, rate, () => releases(project, rounds, rate, declare));
  const turnedAway = ours.entries.filter((entry) => entry.turnedAway === true).length;
  const retried = ours.entries.filter((entry) => entry.retried === true).length;
  const { releases: released, rollbacks, failed, canaries, maintenances } = counts;
  const notes = [
    `${released} releases, ${rollbacks} rollbacks, ${failed} failed releases, ${canaries} canaries, ${maintenances} maintenance`,
    `Slipway: failed ${causes(ours.entries)}; turned away by maintenance ${turnedAway}; sent once more ${retried}`,
    `p99 of what is answered at once: ${latencyOf(ours.entries, 0.99)} ms`,
    `the load behind its own schedule: ${lagOf(ours.lag)}`,
  ];
  const rows = [];
  for (const name of ['reload', 'compose'] as const) {
    const peer = name === 'reload' ? 'blue/green with nginx -s reload' : 'docker compose up -d';
    const hand = await control(name, { host, domain: DOMAIN, boot: BOOT }, images.v1);
    const theirs = await underLoad(hand.port, rate, async () => {
      for (let round = 1; round <= Math.max(1, Math.round(rounds / 7)); round += 1) {
        console.error(`round ${round}, ${peer}`);
        await hand.deploy(images[round % 2 === 1 ? 'v2' : 'v1']);
        await sleep(STEADY);
      }
    });
    notes.push(`${peer}: failed ${causes(theirs.entries)}`);
    const against = { link: '50ms', unit: 'requests', peer } as const;
    const [sent, lost] = [theirs.entries.length, failedOf(theirs.entries)];
    rows.push(
      row({ ...against, name: 'requests sent', slipway: ours.entries.length, peerValue: sent }),
      row({ ...against, name: 'failed requests', slipway: failedOf(ours.entries), peerValue: lost }),
    );
  }
  print('proof', rows, [...notes, conditions]);
}
