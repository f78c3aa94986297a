import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { ensureImages } from '#sandbox/images/images';
import { AUTHORITIES } from '#sandbox/places';
import { type Internet, internet, publishAuthorities, type SandboxHost, setRecord } from '#sandbox/sandbox';
import { startDelayProxy } from '#test/support/delay-proxy';
import { startLoad } from '#test/support/load';
import { CONTROL_PORTS, type Control, control } from '#test/support/load-controls';
import { allFrom, type Entry, latencyOf } from '#test/support/load-record';
import { crashTimes } from './crash.ts';
import { deploy } from './deploy.ts';
import { benchHosts } from './hosts.ts';
import { median } from './measure.ts';
import { DOMAIN, makeProject, type Project, wayTo, writeInventory } from './project.ts';
import { circumstances, print, type Row, row, spread } from './report.ts';

const NAME = 'bench-release';
/** Milliseconds each way of the far link, for whoever releases and for those whose requests are under way. */
const ONE_WAY = { ssh: 25, load: 50 };
/** A loopback address of its own, so that the far host is on port 22 too and all else about it is the same. */
export const FAR = '127.0.10.204';
/** Milliseconds the app takes to boot. */
export const BOOT = 1500;
/** Milliseconds of load between two commands. */
const STEADY = 5000;

type Link = Row['link'];

const TAGS = ['v1', 'v2', 'crash', 'unhealthy'] as const;

/** The app alone: what is measured is the release, not its database. */
export function inventory(
  hosts: Readonly<Record<string, unknown>>,
  there: Internet,
  image: string,
  round: number,
  more: Readonly<Record<string, string>> = {},
) {
  const fixed = { DATABASE_URL: 'none', REDIS_URL: 'none', DEMO_BOOT_MS: String(BOOT) };
  const environment = { ...fixed, ROUND: String(round), ...more };
  return {
    app: 'bench',
    hosts,
    services: { web: { image, healthcheck: { path: '/up' }, environment } },
    routes: { [DOMAIN]: 'web:3000' },
    release: { watch: '2s', drain: '5s', healthTimeout: '10s' },
    certificates: { directory: there.acmeDirectory, ca: AUTHORITIES },
  };
}

/** A command under load: when it was typed, and whose traffic it is to become. */
interface Turn {
  readonly what: 'release' | 'rollback';
  readonly tag: string;
  readonly began: number;
}

interface Outcome {
  readonly entries: readonly Entry[];
  readonly turns: readonly Turn[];
}

/** Somebody's way to release and to go back. */
interface Way {
  readonly name: string;
  readonly port: number;
  release(round: number): Promise<unknown>;
  goBack(round: number): Promise<unknown>;
}

async function underLoad(address: string, rate: number, rounds: number, way: Way): Promise<Outcome> {
  const target = { address, port: way.port, domain: DOMAIN, ca: readFileSync(AUTHORITIES, 'utf8') };
  await using load = await startLoad(target, rate);
  const turns: Turn[] = [];
  await sleep(STEADY);
  for (let round = 1; round <= rounds; round += 1) {
    console.error(`round ${round} of ${rounds}, ${way.name}`);
    turns.push({ what: 'release', tag: 'v2', began: Date.now() });
    await way.release(round);
    await sleep(STEADY);
    turns.push({ what: 'rollback', tag: 'v1', began: Date.now() });
    await way.goBack(round);
    await sleep(STEADY);
  }
  const { entries } = await load.stop();
  return { entries, turns };
}

/** The host as it looks from far away: its doors at an address of their own. */
export async function farAway(host: SandboxHost): Promise<AsyncDisposable> {
  const doors = [22, 443, CONTROL_PORTS.reload, CONTROL_PORTS.compose].map((port) =>
    startDelayProxy({
      ...{ host: host.address, port, listen: { host: FAR, port } },
      oneWay: port === 22 ? ONE_WAY.ssh : ONE_WAY.load,
    }),
  );
  const open = await Promise.all(doors);
  return { [Symbol.asyncDispose]: async () => void (await Promise.all(open.map((door) => door.stop()))) };
}

/** Seconds from each command until nobody but the wanted release answered. */
function timesOf({ entries, turns }: Outcome, what: Turn['what']): readonly number[] {
  return turns.flatMap((turn, index) => {
    if (turn.what !== what) return [];
    const end = turns[index + 1]?.began ?? Number.POSITIVE_INFINITY;
    const at = allFrom(
      entries.filter(({ sent }) => sent < end),
      turn.tag,
      turn.began,
    );
    if (at === undefined) throw new Error(`${turn.tag} never had all the traffic.`);
    return [(at - turn.began) / 1000];
  });
}

/** The 99th percentile while a release came, and while nothing happened, in milliseconds. */
function p99Of({ entries, turns }: Outcome): { readonly during: number; readonly steady: number } {
  // What was due in the ramp of the load and in its last second is neither.
  const first = (turns[0]?.began ?? 0) - STEADY / 2;
  const isDuring = ({ due }: Entry) => turns.some(({ began }) => due >= began && due < began + STEADY);
  const later = entries.filter(({ due }) => due >= first);
  return {
    during: latencyOf(later.filter(isDuring), 0.99),
    steady: latencyOf(
      later.filter((entry) => !isDuring(entry)),
      0.99,
    ),
  };
}

/** How many requests failed. */
export function failedOf(entries: readonly Entry[]): number {
  return entries.filter(({ failure }) => failure !== undefined).length;
}

/** What the requests that failed did so for, by their kind. */
export function causes(entries: readonly Entry[]): string {
  const counts = new Map<string, number>();
  for (const { kind, failure } of entries) {
    if (failure !== undefined) counts.set(`${kind}: ${failure}`, (counts.get(`${kind}: ${failure}`) ?? 0) + 1);
  }
  return counts.size === 0 ? 'none' : [...counts].map(([cause, count]) => `${count} × ${cause}`).join(', ');
}

function slipway(port: number, project: Project, declare: (round: number) => void): Way {
  return {
    name: 'Slipway',
    port,
    async release(round) {
      declare(round);
      await deploy('release', project, '--tag', 'v2');
    },
    goBack: () => deploy('rollback', project),
  };
}

function byHand({ port, deploy: release }: Control, images: Ground['images']): Way {
  return {
    name: 'by hand',
    port,
    release: () => release(images.v2),
    goBack: () => release(images.v1),
  };
}

function rowsOf(link: Link, ours: Outcome, theirs: Outcome): readonly Row[] {
  const against = { link, peer: 'blue/green with nginx -s reload' };
  const { during, steady } = p99Of(ours);
  return [
    row({
      ...{ ...against, name: 'release until all traffic is new' },
      ...{ slipway: median(timesOf(ours, 'release')), peerValue: median(timesOf(theirs, 'release')) },
    }),
    row({
      ...{ ...against, name: 'rollback until all traffic is old' },
      ...{ slipway: median(timesOf(ours, 'rollback')), peerValue: median(timesOf(theirs, 'rollback')) },
    }),
    row({
      ...{ link, name: 'p99 in the five seconds from the command', unit: 'ms' },
      ...{ slipway: during, peer: 'p99 while nothing happens', peerValue: steady },
    }),
    row({
      ...{ ...against, name: 'requests sent', unit: 'requests' },
      ...{ slipway: ours.entries.length, peerValue: theirs.entries.length },
    }),
    row({
      ...{ ...against, name: 'failed requests', unit: 'requests' },
      ...{ slipway: failedOf(ours.entries), peerValue: failedOf(theirs.entries) },
    }),
  ];
}

/** A host with a name, and the images of the app's releases by their tag. */
export interface Ground extends AsyncDisposable {
  readonly host: SandboxHost;
  readonly there: Internet;
  readonly images: Readonly<Record<(typeof TAGS)[number], string>>;
}

/** A fresh host under the benchmarks' domain, near and far, and the images in the registry. */
export async function ground(name: string): Promise<Ground> {
  const there = await internet();
  await publishAuthorities();
  const ca = readFileSync(there.caFile, 'utf8');
  const names = TAGS.map((tag) => `demo:${tag}` as const);
  await ensureImages({ registry: there.registry, address: there.address, ca, names });
  const images = Object.fromEntries(TAGS.map((tag) => [tag, `${there.registry}/demo:${tag}`])) as Ground['images'];
  const hosts = await benchHosts([name]);
  const [host] = hosts;
  if (host === undefined) throw new Error('there is no host');
  await setRecord(DOMAIN, { a: [host.address], aaaa: [host.address6] });
  const far = await farAway(host);
  const leave = async () => {
    await far[Symbol.asyncDispose]();
    await hosts[Symbol.asyncDispose]();
  };
  return { host, there, images, [Symbol.asyncDispose]: leave };
}

/** Releases and rollbacks under full traffic, against a blue/green by hand on the same host, near and far. */
export async function releaseBench(rounds = 3, rate = 500): Promise<void> {
  await using place = await ground(NAME);
  const { host, there, images } = place;
  const conditions = circumstances();
  const rows: Row[] = [];
  const notes: string[] = [];
  let hand: Control | undefined;
  for (const link of ['direct', '50ms'] as const) {
    const address = link === 'direct' ? host.address : FAR;
    const to = wayTo(host, address);
    using project = makeProject([to], there);
    const declare = (round: number) => {
      const reached = { [host.name]: { address, identityFile: host.keyFile } };
      writeInventory(project, inventory(reached, there, images.v1, round));
    };
    declare(0);
    console.error(`bringing the host up, ${link}`);
    await deploy('up', project);
    hand ??= await control('reload', { host, domain: DOMAIN, boot: BOOT }, images.v1);
    const ours = await underLoad(address, rate, rounds, slipway(443, project, declare));
    const theirs = await underLoad(address, rate, rounds, byHand(hand, images));
    const crashes = await crashTimes({ link, host, rounds, project, hand, image: images.crash, declare });
    const samples = (['release', 'rollback'] as const).flatMap((what) => [
      [`${what}, Slipway, ${link}`, timesOf(ours, what)] as const,
      [`${what}, by hand, ${link}`, timesOf(theirs, what)] as const,
    ]);
    const told = [
      [`crash told, Slipway, ${link}`, crashes.ours],
      [`crash told, by hand, ${link}`, crashes.theirs],
    ] as const;
    console.log(spread(new Map([...samples, ...told])));
    rows.push(
      ...rowsOf(link, ours, theirs),
      row({
        ...{ link, name: 'crash told after', peer: 'blue/green with nginx -s reload' },
        ...{ slipway: median(crashes.ours), peerValue: median(crashes.theirs) },
      }),
    );
    notes.push(`failed, ${link}: Slipway ${causes(ours.entries)}; by hand ${causes(theirs.entries)}`);
  }
  print('release', rows, [
    ...notes,
    `${rate} requests a second: keep-alive with POSTs, HTTP/2, new connections, 3 s requests, streams, WebSockets`,
    conditions,
  ]);
}
