import { readFileSync } from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';
import { packageDirectory } from '#cli/project';
import { loadEnvironment } from '#inventory/load';
import { assemble } from '#plan/assemble';
import { templates } from '#playbook/render';
import { harden } from '#playbooks/harden';
import { logs } from '#playbooks/logs';
import { proxy } from '#playbooks/proxy';
import type { Event } from '#protocol/event';
import { AUTHORITIES } from '#sandbox/places';
import { type Release, run, type SandboxHost, setRecord, up } from '#sandbox/sandbox';
import { onHost } from '#test/support/converge';
import { deploy } from './deploy.ts';
import { demoInternet, removeHosts } from './hosts.ts';
import { makeProject, type Project, wayTo } from './project.ts';
import { circumstances, print, row, table } from './report.ts';

const HOSTS: readonly { readonly name: string; readonly release: Release }[] = [
  { name: 'bench-hard-13', release: 'debian-13' },
  { name: 'bench-hard-12', release: 'debian-12' },
];
const DOMAIN = 'hardening.sandbox.test';
const [NEWER, OLDER] = HOSTS.map(({ name }) => name) as [string, string];

/** Services that hardening reloads or restarts on its way. */
const OURS = ['fail2ban.service', 'ssh.service', 'ssh.socket', 'systemd-journald.service'];

interface Figures {
  /** Lynis's hardening index, and the points behind it. */
  readonly index: number;
  readonly points: string;
  /** The tests that cost points, the dearest first. */
  readonly lost: readonly string[];
  readonly audit: SshAudit;
}

interface SshAudit {
  /** 0 good, 2 warnings, 3 failures. */
  readonly exit: number;
  readonly fail: number;
  readonly warn: number;
}

async function must(host: string, argv: readonly string[], timeout = 300): Promise<string> {
  const output = await run(host, argv, { timeout });
  if (output.exitCode !== 0) throw new Error(`${argv.join(' ')} on ${host}: ${output.stderr}${output.stdout}`);
  return output.stdout;
}

async function install(host: string, packages: readonly string[]): Promise<void> {
  const apt = ['env', 'DEBIAN_FRONTEND=noninteractive', 'apt-get', '--quiet'];
  await must(host, [...apt, 'update']);
  await must(host, [...apt, 'install', '--yes', '--no-install-recommends', ...packages]);
}

/** Points that a test of Lynis did not give, as its log says of each. */
function lostPoints(log: string): readonly string[] {
  const lost = new Map<string, number>();
  let test = '';
  for (const line of log.split('\n')) {
    test = /Performing test ID (\S+)/.exec(line)?.[1] ?? test;
    const [, got, most] = /assigned partial number of hardening points \((\d+) of (\d+)\)/.exec(line) ?? [];
    if (got !== undefined && Number(most) > Number(got)) {
      lost.set(test, (lost.get(test) ?? 0) + Number(most) - Number(got));
    }
  }
  return [...lost].sort(([, a], [, b]) => b - a).map(([name, points]) => `${name} ${points}`);
}

async function lynis(host: string): Promise<Omit<Figures, 'audit'>> {
  await must(host, ['lynis', 'audit', 'system', '--quick', '--no-colors', '--quiet'], 600);
  const report = await must(host, ['cat', '/var/log/lynis-report.dat']);
  const log = await must(host, ['cat', '/var/log/lynis.log']);
  const points = [...log.matchAll(/Currently having (\d+) points \(out of (\d+)\)/g)].at(-1);
  return {
    index: Number(/^hardening_index=(\d+)/m.exec(report)?.[1]),
    points: `${points?.[1]} of ${points?.[2]}`,
    lost: lostPoints(log),
  };
}

/** ssh-audit of Debian 13 knows what both releases speak; that of Debian 12 does not. One scan: sshd tires of more. */
async function sshAudit(address: string): Promise<SshAudit> {
  const { stdout, exitCode } = await run(NEWER, ['ssh-audit', '--no-colors', address], { timeout: 60 });
  if (exitCode === null || exitCode === 1) throw new Error(`ssh-audit could not ask ${address}: ${stdout}`);
  const count = (mark: string) => stdout.split('\n').filter((line) => line.includes(`[${mark}]`)).length;
  return { exit: exitCode, fail: count('fail'), warn: count('warn') };
}

async function figures(host: SandboxHost): Promise<Figures> {
  const address = host.name === NEWER ? '127.0.0.1' : host.address;
  return { ...(await lynis(host.name)), audit: await sshAudit(address) };
}

/** A bring-up, and which of its resources are hardening's. */
interface BringUp {
  readonly events: readonly Event[];
  readonly resources: ReadonlySet<string>;
}

/** Seconds of a bring-up that are hardening's and not apt's: its resources, its reloads, the guard and its proof. */
function hardeningSeconds({ events, resources }: BringUp): number {
  let seconds = 0;
  let before: number | undefined;
  for (const event of events) {
    const at = Date.parse(event.at);
    const took = before === undefined ? 0 : (at - before) / 1000;
    before = at;
    const isGuard = event.type.startsWith('guard.');
    const isTrigger = event.type === 'trigger.fired' && OURS.includes(event.trigger.unit);
    const resource = 'resource' in event ? event.resource : undefined;
    const isOurs = resource !== undefined && !resource.startsWith('apt-') && resources.has(resource);
    if (isGuard || isTrigger || isOurs) seconds += took;
  }
  return seconds;
}

/** The app's own answer over one address. */
function answers(address: string): Promise<number | undefined> {
  const options = { host: address, servername: DOMAIN, headers: { Host: DOMAIN }, ca: readFileSync(AUTHORITIES) };
  return new Promise((resolve, reject) => {
    const asking = request({ ...options, path: '/up' }, (response) => resolve(response.resume().statusCode));
    asking.once('error', reject).end();
  });
}

/** Everything, with the demo app, by the built command line. */
async function bringUp(host: SandboxHost, project: Project): Promise<BringUp> {
  await setRecord(DOMAIN, { a: [host.address], aaaa: [host.address6] });
  const { output } = await deploy('up', project, '--json');
  for (const address of [host.address, host.address6]) {
    const status = await answers(address);
    if (status !== 200) throw new Error(`The app answers ${status} at ${address}.`);
  }
  const lines = output.split('\n').filter((line) => line.startsWith('{'));
  const events = lines.map((line) => JSON.parse(line) as Event).filter(({ at }) => at !== undefined);
  const steps = events.flatMap((event) => (event.type === 'plan' ? event.steps : []));
  const ours = steps.filter(({ playbook }) => playbook === harden.name);
  return { events, resources: new Set(ours.map(({ resource }) => resource)) };
}

/** What needs no Docker, which the older release has only from a repository that is not everywhere to be reached. */
async function bringUpWithoutDocker(host: SandboxHost, project: Project): Promise<BringUp> {
  const environment = await loadEnvironment(project.folder, project.environment);
  const render = templates([join(packageDirectory(), 'templates')]);
  await using there = await onHost(host);
  const { facts } = await there.plan([]);
  const context = { environment, host: host.name, facts, render };
  const parts = [harden, proxy, logs].map((playbook) => ({
    playbook: playbook.name,
    resources: playbook.resources(context),
  }));
  const { events, error } = await there.up(assemble(parts), { loginUser: environment.ssh.user });
  if (error !== undefined) throw error;
  const ours = parts.filter(({ playbook }) => playbook === harden.name).flatMap(({ resources }) => resources);
  return { events, resources: new Set(ours.map(({ kind, id }) => `${kind}:${id}`)) };
}

/** ssh-audit and Lynis before and after, and what hardening adds to a bring-up beside apt. */
export async function hardening(): Promise<void> {
  const conditions = circumstances();
  const there = await demoInternet();
  const names = HOSTS.map(({ name }) => name);
  await removeHosts(names);
  try {
    const rows: ReturnType<typeof row>[] = [];
    const audits: string[][] = [['ssh-audit', 'before', 'after']];
    const notes: string[] = [];
    for (const { name, release } of HOSTS) {
      const host = await up({ name, release, report: (message) => console.error(message) });
      await install(name, name === NEWER ? ['lynis', 'ssh-audit'] : ['lynis']);
      console.error(`${release}: as it comes`);
      const before = await figures(host);
      using project = makeProject([wayTo(host)], there, DOMAIN);
      console.error(`${release}: deploy up`);
      const broughtUp = await (name === OLDER ? bringUpWithoutDocker : bringUp)(host, project);
      console.error(`${release}: hardened`);
      const after = await figures(host);
      const says = ({ audit }: Figures) => `exit ${audit.exit}, ${audit.fail} fail, ${audit.warn} warn`;
      audits.push([release, says(before), says(after)]);
      rows.push(
        row({
          ...{ name: `Lynis, ${release}`, link: 'direct', unit: 'of 100' },
          ...{ slipway: after.index, peer: 'as it comes', peerValue: before.index },
        }),
        row({
          ...{ name: `beside apt, ${release}`, link: 'direct' },
          ...{ slipway: hardeningSeconds(broughtUp), peer: 'at most', peerValue: 5 },
        }),
      );
      notes.push(
        `${release}: Lynis gives ${before.points} points before, ${after.points} after`,
        `${release}: lost after ${after.lost.join(', ')}`,
      );
    }
    console.log(table(audits));
    print('hardening', rows, [...notes, conditions]);
  } finally {
    await removeHosts(names);
  }
}
