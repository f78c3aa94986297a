import { declarationsFor } from '#cli/operate';
import { runnerFile } from '#cli/project';
import { connectOptions, finalTarget } from '#cli/reach';
import { commandLine } from '#core/quote';
import { loadEnvironment } from '#inventory/load';
import { parseEvent } from '#protocol/event';
import { run, type SandboxHost } from '#sandbox/sandbox';
import { connect } from '#ssh/connection';
import { readBundle } from '#ssh/runner';
import type { Project } from './project.ts';

// wait4(2): what the kernel says a child, and all it waited for, held at most.
const WEIGH = `
import resource, subprocess, sys
subprocess.run(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
`;

/**
 * The most memory that the runner, or any program it starts, holds during a no-op of a project's host: megabytes of
 * resident set. Needs Python on the host.
 */
export async function peakMemory(project: Project, host: SandboxHost): Promise<number> {
  const environment = await loadEnvironment(project.folder, project.environment);
  const { user } = environment.ssh;
  const bundle = readBundle(runnerFile());
  const declared = environment.hosts[host.name];
  if (declared === undefined) throw new Error(`${host.name} is not in the inventory`);
  await using connection = await connect(finalTarget(environment, declared), connectOptions(environment));
  const argv = ['sudo', '-n', 'python3', '-c', WEIGH, `${bundle.folder}/slipway-host`, 'session'];
  const session = await connection.open(commandLine(argv));
  for await (const line of session.lines()) {
    const event = parseEvent(line);
    if (event?.type === 'operation.failed') throw new Error(event.error.message);
    if (event?.type === 'hello') {
      const request = {
        ...{ verb: 'up', app: environment.app, environment: environment.name, by: 'bench', loginUser: user },
        resources: await declarationsFor(environment, host.name, event.facts),
        secrets: Object.values(environment.secrets),
      };
      await session.write(`${JSON.stringify(request)}\n`);
    }
  }
  await session.closed;
  return Number(session.stderr.trim().split('\n').at(-1)) / 1024;
}

/** What of Slipway still runs on a host, or listens there: nothing, if it keeps its word. */
export async function residents(host: SandboxHost): Promise<readonly string[]> {
  const script = 'for exe in /proc/[0-9]*/exe; do readlink "$exe"; done | grep ^/opt/slipway; true';
  const output = await run(host.name, ['sh', '-c', script]);
  return output.stdout.split('\n').filter((line) => line !== '');
}
