import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { declarationsFor } from '#cli/operate';
import { runnerFile } from '#cli/project';
import { connectOptions, finalTarget } from '#cli/reach';
import { loadEnvironment } from '#inventory/load';
import { run, type SandboxHost } from '#sandbox/sandbox';
import { connect } from '#ssh/connection';
import { openHost } from '#ssh/operation';
import { readBundle } from '#ssh/runner';
import { median } from './measure.ts';
import type { Project } from './project.ts';

/** Where the runner lies on every host. */
function runnerPath(): string {
  return `${readBundle(runnerFile()).folder}/slipway-host`;
}

/** The one line that `deploy up` would send to a project's host. */
export async function requestFor(project: Project, host: SandboxHost): Promise<string> {
  const environment = await loadEnvironment(project.folder, project.environment);
  const declared = environment.hosts[host.name];
  if (declared === undefined) throw new Error(`${host.name} is not in the inventory`);
  await using connection = await connect(finalTarget(environment, declared), connectOptions(environment));
  const session = await openHost(connection, readBundle(runnerFile()), () => undefined);
  session.close();
  const { resources } = await declarationsFor(environment, host.name, session.hello.facts);
  const request = {
    ...{ verb: 'up', app: environment.app, environment: environment.name, by: 'bench' },
    resources,
    secrets: Object.values(environment.secrets),
    loginUser: environment.ssh.user,
  };
  return `${JSON.stringify(request)}\n`;
}

// Plays the laptop's part on the host itself and says what the runner said, when, and how much memory it took: wait4(2)
// tells what a child, or one of those it waited for, held at most.
const LISTEN = `
import json, resource, subprocess, sys, time
began = time.time()
runner = subprocess.Popen([sys.argv[1], 'session'], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
hello = runner.stdout.readline()
greeted = time.time()
runner.stdin.write(sys.stdin.readline())
runner.stdin.flush()
rest = []
while not rest or not ('"operation.finished"' in rest[-1] or '"operation.failed"' in rest[-1]):
  rest.append(runner.stdout.readline())
answered = time.time()
runner.stdin.close()
runner.wait()
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(json.dumps({'hello': hello, 'rest': ''.join(rest), 'greeting': greeted - began, 'answer': answered - greeted, 'peak': peak / 1024}))
`;

/** What the runner did with a request, as seen on the host. */
export interface Recording {
  readonly hello: string;
  readonly rest: string;
  /** Seconds from its start to its first word. */
  readonly greeting: number;
  /** Seconds from the request to the last word. */
  readonly answer: number;
  /** Megabytes that it, or any program it started, held at most. */
  readonly peak: number;
}

/** Has the runner on a host work on a request, several times; rejects where anything had to be changed. */
export async function record(host: SandboxHost, request: string, times: number): Promise<Recording> {
  const recordings: Recording[] = [];
  for (let time = 0; time < times; time += 1) {
    const output = await run(host.name, ['python3', '-c', LISTEN, runnerPath()], { input: request });
    if (output.exitCode !== 0) throw new Error(output.stderr);
    recordings.push(JSON.parse(output.stdout) as Recording);
  }
  const [first] = recordings;
  if (first === undefined || !first.rest.includes('"changed":0'))
    throw new Error(`There was something to do: ${first?.rest}`);
  return {
    ...first,
    greeting: median(recordings.map(({ greeting }) => greeting)),
    answer: median(recordings.map(({ answer }) => answer)),
    peak: Math.max(...recordings.map(({ peak }) => peak)),
  };
}

/** Puts a recording in the runner's place, which says the same after the same time and costs no processor. */
export function replay(host: SandboxHost, { hello, rest, greeting, answer }: Recording): void {
  const runner = runnerPath();
  const place = join(host.tree, runner);
  const script = `#!/bin/sh
sleep ${greeting.toFixed(3)}
cat ${runner}.hello
read -r request
sleep ${answer.toFixed(3)}
cat ${runner}.rest
`;
  writeFileSync(`${place}.hello`, hello);
  writeFileSync(`${place}.rest`, rest);
  writeFileSync(`${place}.new`, script, { mode: 0o755 });
  renameSync(`${place}.new`, place);
}

/** What of Slipway still runs on a host: nothing, if it keeps its word. */
export async function residents(host: SandboxHost): Promise<readonly string[]> {
  const script = 'for exe in /proc/[0-9]*/exe; do readlink "$exe"; done | grep ^/opt/slipway; true';
  const output = await run(host.name, ['sh', '-c', script]);
  return output.stdout.split('\n').filter((line) => line !== '');
}
