import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run, type SandboxHost, setRecord } from '#sandbox/sandbox';
import { startDelayProxy } from '#test/support/delay-proxy';
import { ansibleVersion, countTasks, makePeer, runPeer } from './ansible.ts';
import { deploy, noop } from './deploy.ts';
import { benchHosts, demoInternet } from './hosts.ts';
import { type Contender, interleave, medianOf, timed } from './measure.ts';
import { DOMAIN, makeProject, type Project, type Way, wayTo } from './project.ts';
import { circumstances, print, type Row, row, spread } from './report.ts';
import { record, requestFor, residents } from './runner.ts';

/** Milliseconds each way of the far link. */
const ONE_WAY = 25;
/** A loopback address of its own, so that the far host is on port 22 too and all else about it is the same. */
const FAR = '127.0.10.203';
/** Megabytes that the runner may hold. */
const MEMORY_BUDGET = 100;
/** Debian's Ansible asks for it to look at packages. */
const PYTHON = ['python3', 'python3-apt'];
const USER = 'deploy';

type Link = Row['link'];

function ssh(way: Way, project: Project): Contender['run'] {
  const options = ['BatchMode=yes', 'IdentitiesOnly=yes', `UserKnownHostsFile=${project.knownHosts}`];
  const argv = ['ssh', '-F', 'none', '-i', way.keyFile, ...options.flatMap((option) => ['-o', option])];
  return () => timed([...argv, `${USER}@${way.address}`, 'true']);
}

/** Brings the host up with Slipway, and lets both tools settle until neither finds anything to do. */
async function prepare(host: SandboxHost, near: Project, peer: string): Promise<{ tasks: number; steps: number }> {
  await setRecord(DOMAIN, { a: [host.address], aaaa: [host.address6] });
  console.error('bringing the host up');
  await deploy('up', near);
  console.error('bringing what Ansible needs on a host');
  const apt = ['apt-get', 'install', '--yes', '--no-install-recommends', ...PYTHON];
  const installed = await run(host.name, ['env', 'DEBIAN_FRONTEND=noninteractive', ...apt], { timeout: 300 });
  if (installed.exitCode !== 0) throw new Error(installed.stderr);
  makePeer(peer, host);
  // The two write firewall rules down in their own ways, which mean the same.
  await runPeer(peer, wayTo(host), USER, near, 'settle');
  await deploy('up', near);
  const { output } = await runPeer(peer, wayTo(host), USER, near);
  await noop(near);
  return countTasks(output);
}

/** A no-op of everything, against Ansible and against a bare login, over the direct link and over a far one. */
export async function noopBench(rounds = 5): Promise<void> {
  const version = await ansibleVersion();
  const internet = await demoInternet();
  await using hosts = await benchHosts(['bench-noop']);
  const [host] = hosts;
  if (host === undefined) return;
  const proxy = await startDelayProxy({
    host: host.address,
    port: 22,
    oneWay: ONE_WAY,
    listen: { host: FAR, port: 22 },
  });
  const peer = mkdtempSync(join(tmpdir(), 'slipway-bench-peer-'));
  using near = makeProject([wayTo(host)], internet);
  using far = makeProject([wayTo(host, FAR)], internet);
  try {
    const { tasks, steps } = await prepare(host, near, peer);
    const links: readonly (readonly [Link, Project, Way])[] = [
      ['direct', near, wayTo(host)],
      ['50ms', far, wayTo(host, FAR)],
    ];
    const conditions = circumstances();
    const samples = await interleave(
      links.flatMap(([link, project, way]) => [
        { name: `Ansible, ${link}`, run: () => runPeer(peer, way, USER, project) },
        { name: `ssh host true, ${link}`, run: ssh(way, project) },
        { name: `deploy up, ${link}`, run: () => noop(project) },
      ]),
      rounds,
      (message) => console.error(message),
    );
    const against = (peerName: string, called: string): readonly Row[] =>
      links.map(([link]) =>
        row({
          name: 'no-op of everything',
          link,
          slipway: medianOf(samples, `deploy up, ${link}`),
          peer: called,
          peerValue: medianOf(samples, `${peerName}, ${link}`),
        }),
      );
    console.log(spread(samples));
    const { peak } = await record(host, await requestFor(near, host), 5);
    const left = await residents(host);
    print(
      'noop',
      [
        ...against('Ansible', `Ansible ${version}`),
        ...against('ssh host true', 'ssh host true'),
        row({
          ...{ name: 'peak memory of the runner', link: 'direct', unit: 'MB' },
          ...{ slipway: peak, peer: 'budget', peerValue: MEMORY_BUDGET },
        }),
      ],
      [
        `Ansible's play: ${tasks} tasks, ${steps} steps; pipelining on, ControlPersist on (its connection of the run before still stands)`,
        `left running on the host afterwards: ${left.length === 0 ? 'nothing' : left.join(', ')}`,
        conditions,
      ],
    );
  } finally {
    await proxy.stop();
    rmSync(peer, { recursive: true, force: true });
  }
}
