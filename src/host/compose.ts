import { existsSync } from 'node:fs';
import { execCompose, type IDockerComposeResult } from 'docker-compose';
import { DeployError } from '#core/errors';
import type { ComposeAction, ComposeProject } from '#resources/resource';

/** Seconds the containers of a project have to become healthy where the project does not say. */
const WAIT = 120;
/** Seconds for pulling the images of one project: ten minutes at 5 MB/s is 3 GB. */
const PULL = 600;
/** Characters of output kept: what a person reads of a failure is at its end. */
const KEPT = 64 * 1024;
const PASSED_ON = ['PATH', 'HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY', 'http_proxy', 'https_proxy', 'no_proxy'];

/** What is written last on standard error where Compose has done as told. */
const DONE = 'slipway: compose is done';

// docker-compose waits half a second after the end of its child in case there is more to read; with this as the last
// word of the stream, all has been read.
const TELL_DONE = `"$@" && echo '${DONE}' >&2`;

interface Command {
  readonly name: string;
  readonly args: readonly string[];
  /** Seconds. */
  readonly timeout: number;
}

function command(action: ComposeAction, { wait = WAIT, scale }: ComposeProject): Command {
  switch (action) {
    case 'pull':
      return { name: 'pull', args: ['--policy', 'missing', '--ignore-buildable'], timeout: PULL };
    case 'create':
      if (scale !== undefined) {
        const counts = Object.entries(scale).flatMap(([service, count]) => ['--scale', `${service}=${count}`]);
        return { name: 'create', args: ['--no-recreate', ...counts, ...Object.keys(scale)], timeout: wait };
      }
      return { name: 'create', args: ['--remove-orphans'], timeout: wait };
    case 'up': {
      const args = ['--detach', '--remove-orphans', '--wait', '--wait-timeout', String(wait)];
      // Stopping what is replaced and creating what is new comes on top of the wait.
      return { name: 'up', args, timeout: wait + 120 };
    }
    case 'down':
      return { name: 'down', args: ['--remove-orphans'], timeout: 180 };
    case 'stop':
      return { name: 'stop', args: [], timeout: 120 };
  }
}

/**
 * The environment Compose gets. It is not ours: whatever is in it would win over the project's own .env file, so only
 * what the docker program itself needs is passed on.
 */
function environment(): NodeJS.ProcessEnv {
  const kept = PASSED_ON.flatMap((name) => {
    const value = process.env[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  return { ...Object.fromEntries(kept), HOME: '/root', LC_ALL: 'C.UTF-8' };
}

/** What Compose says of a pull that a person wants to hear, from one line of its plain progress. */
export function pullProgress(line: string): string | undefined {
  const match = /^\s*(\S+)\s+(Pulling|Pulled)\s*$/.exec(line);
  return match === null ? undefined : `${match[1]}: image ${match[2] === 'Pulled' ? 'pulled' : 'is being pulled'}`;
}

function failure(project: ComposeProject, { name, timeout }: Command, thrown: unknown): DeployError {
  const result = thrown as Partial<IDockerComposeResult> & Partial<Error>;
  const said = [result.err, result.out, result.message].find((text) => text !== undefined && text.trim() !== '') ?? '';
  const last = said.trim().split('\n').slice(-12).join('\n');
  const how = result.exitCode === 124 ? ` was stopped after ${timeout} s` : ' failed';
  return new DeployError('command-failed', `docker compose ${name} for ${project.name}${how}:\n${last}`, {
    hint: `Run \`docker compose -p ${project.name} ps --all\` and \`docker compose -p ${project.name} logs\` on the host to see more.`,
    cause: thrown,
  });
}

/** Runs one `docker compose` command on a project; rejects with `command-failed` and its last lines. */
export async function compose(
  project: ComposeProject,
  action: ComposeAction,
  say: (message: string) => void = () => {},
): Promise<void> {
  const what = command(action, project);
  const file = `${project.directory}/compose.yaml`;
  let rest = '';
  let done: () => void = () => undefined;
  const isDone = new Promise<void>((resolve) => {
    done = resolve;
  });
  try {
    const ended = execCompose(what.name, [...what.args], {
      // docker-compose knows no deadline and gives nothing to end the child by; coreutils' timeout does. And Compose
      // ends with us: otherwise it would be in the way of the run that takes up what a killed one has left.
      executable: {
        executablePath: 'setpriv',
        options: [
          ...['--pdeathsig', 'TERM', 'timeout', '--kill-after=20', `${what.timeout}`],
          ...['sh', '-c', TELL_DONE, 'compose', 'docker'],
        ],
      },
      composeOptions: [
        '--progress=plain',
        ['--project-name', project.name],
        ['--project-directory', project.directory],
        // Without its file a project can still be taken down: its containers carry labels.
        ...(existsSync(file) ? [['--file', file]] : []),
      ],
      env: environment(),
      cwd: '/',
      maxOutputLength: KEPT,
      callback: (chunk) => {
        const lines = `${rest}${chunk.toString()}`.split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) {
          if (line === DONE) done();
          const progress = action === 'pull' ? pullProgress(line) : undefined;
          if (progress !== undefined) say(progress);
        }
      },
    });
    await Promise.race([ended, isDone]);
  } catch (thrown) {
    throw failure(project, what, thrown);
  }
}
