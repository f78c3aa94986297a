import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import type { Internet, SandboxHost } from '#sandbox/sandbox';
import { internet } from '#sandbox/sandbox';
import { deploy } from './deploy.ts';
import { benchHosts } from './hosts.ts';
import { median, timed } from './measure.ts';
import { ENVIRONMENT, makeProject, type Project, wayTo } from './project.ts';
import { circumstances, print, row, spread } from './report.ts';

const SLIPWAY = 'bench-first';
const APT = 'bench-apt';

/** A project without an app: what is left is a hardened host with Docker and nginx. */
function bareProject(host: SandboxHost, there: Internet): Project {
  const project = makeProject([wayTo(host)], there);
  const hosts = { [host.name]: { address: host.address, identityFile: host.keyFile } };
  writeFileSync(join(project.folder, 'inventory', `${ENVIRONMENT}.yaml`), stringify({ app: 'bench', hosts }));
  return project;
}

interface FirstUp {
  /** Seconds of the whole command. */
  readonly whole: number;
  /** Seconds until the runner answered: connecting and bringing it. */
  readonly bringing: number;
  readonly packages: readonly string[];
}

interface Said {
  readonly type: string;
  readonly at: string;
  readonly resource?: string;
}

/** Brings a fresh host up; the sandbox's hosts have this machine's clock, so the runner's first word dates itself. */
async function bringUp(project: Project): Promise<FirstUp> {
  const started = Date.now();
  const { seconds, output } = await deploy('up', project, '--json');
  const events = output.split('\n').flatMap((line) => (line.startsWith('{') ? [JSON.parse(line) as Said] : []));
  const hello = events.find(({ type }) => type === 'hello');
  if (hello === undefined) throw new Error(`The runner never answered:\n${output}`);
  const packages = events.flatMap(({ type, resource = '' }) =>
    type === 'resource.changed' && resource.startsWith('apt-package:') ? [resource.slice('apt-package:'.length)] : [],
  );
  return { whole: seconds, bringing: (Date.parse(hello.at) - started) / 1000, packages };
}

/** The same packages on the same kind of host, as one would type it there. */
async function aptInstall(host: SandboxHost, project: Project, packages: readonly string[]): Promise<number> {
  const install = 'apt-get install --yes --quiet --no-install-recommends';
  const script = `export DEBIAN_FRONTEND=noninteractive; apt-get update --quiet && ${install} ${packages.join(' ')}`;
  const options = ['BatchMode=yes', 'IdentitiesOnly=yes', `UserKnownHostsFile=${project.knownHosts}`];
  const argv = ['ssh', '-F', 'none', '-i', host.keyFile, ...options.flatMap((option) => ['-o', option])];
  return (await timed([...argv, `${host.user}@${host.address}`, script])).seconds;
}

/** A fresh host hardened, with Docker and nginx, against what installing its packages takes by itself. */
export async function first(rounds = 3): Promise<void> {
  const there = await internet();
  const conditions = circumstances();
  const samples = { 'deploy up': [], 'without the runner': [], 'bringing the runner': [], 'apt-get install': [] } as {
    'deploy up': number[];
    'without the runner': number[];
    'bringing the runner': number[];
    'apt-get install': number[];
  };
  let packages: readonly string[] = [];
  const ours = async () => {
    await using hosts = await benchHosts([SLIPWAY]);
    const [host] = hosts;
    if (host === undefined) return;
    using project = bareProject(host, there);
    const up = await bringUp(project);
    packages = up.packages;
    samples['deploy up'].push(up.whole);
    samples['bringing the runner'].push(up.bringing);
    samples['without the runner'].push(up.whole - up.bringing);
  };
  const theirs = async () => {
    await using hosts = await benchHosts([APT]);
    const [host] = hosts;
    if (host === undefined) return;
    using project = bareProject(host, there);
    samples['apt-get install'].push(await aptInstall(host, project, packages));
  };
  for (let round = 1; round <= rounds; round += 1) {
    console.error(`round ${round} of ${rounds}`);
    // The packages are known from the first bring-up; from then on each has its turn at being first.
    for (const turn of round % 2 === 1 ? [ours, theirs] : [theirs, ours]) await turn();
  }
  const peerValue = median(samples['apt-get install']);
  const against = { link: 'direct', peer: 'apt-get update and install', peerValue } as const;
  console.log(spread(new Map(Object.entries(samples))));
  print(
    'first',
    [
      row({ ...against, name: 'first bring-up', slipway: median(samples['without the runner']) }),
      row({ ...against, name: 'with bringing the runner', slipway: median(samples['deploy up']) }),
    ],
    [
      `bringing the runner took ${median(samples['bringing the runner']).toFixed(2)} s`,
      `packages on both sides: ${packages.join(' ')}`,
      conditions,
    ],
  );
}
