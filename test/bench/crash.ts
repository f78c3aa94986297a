import { run, type SandboxHost } from '#sandbox/sandbox';
import type { Control } from '#test/support/load-controls';
import { CLI } from './built.ts';
import { timed } from './measure.ts';
import type { Project } from './project.ts';
import type { Row } from './report.ts';

interface Crashes {
  readonly link: Row['link'];
  readonly host: SandboxHost;
  readonly rounds: number;
  readonly project: Project;
  readonly hand: Control;
  /** Ends by itself with this code as soon as it has booted. */
  readonly image: string;
  readonly declare: (round: number) => void;
}

/** What the crashing image ends with. */
const CODE = '1';

interface Crash {
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly container: string;
}

/** The first crash since then of a container whose name begins so, by Docker's own word. */
async function crashAfter(host: SandboxHost, since: number, prefix: string): Promise<Crash> {
  const [from, until] = [since, Date.now()].map((at) => (at / 1000).toFixed(3));
  const format = '{{.TimeNano}} {{index .Actor.Attributes "exitCode"}} {{.Actor.Attributes.name}}';
  const window = [`--since=${from}`, `--until=${until}`, '--filter=event=die', `--format=${format}`];
  const { stdout } = await run(host.name, ['docker', 'events', ...window], { timeout: 30 });
  const line = stdout.split('\n').find((text) => text.includes(` ${CODE} ${prefix}`));
  if (line === undefined) throw new Error(`no container crashed:\n${stdout}`);
  const [time = '', , container = ''] = line.split(' ');
  return { at: Number(time) / 1e6, container };
}

/** Seconds from the crash until whoever released was told, as the end of what they ran. */
async function told(host: SandboxHost, prefix: string, release: () => Promise<unknown>): Promise<number> {
  const began = Date.now();
  await release();
  const ended = Date.now();
  const { at, container } = await crashAfter(host, began, prefix);
  // By hand it would be started again and again.
  await run(host.name, ['docker', 'stop', container], { timeout: 30 });
  return (ended - at) / 1000;
}

/** Seconds after its crash until a release is told to have failed, ours and by hand. */
export async function crashTimes({
  link,
  host,
  rounds,
  project,
  hand,
  image,
  declare,
}: Crashes): Promise<Record<'ours' | 'theirs', readonly number[]>> {
  const ours: number[] = [];
  const theirs: number[] = [];
  const argv = [process.execPath, CLI, 'release', project.environment, '--project', project.folder, '--tag', 'crash'];
  for (let round = 1; round <= rounds; round += 1) {
    console.error(`crash ${round} of ${rounds}, ${link}`);
    declare(1000 + round);
    ours.push(await told(host, 'bench-', () => timed(argv, { expect: [4] })));
    const isTold = () =>
      hand.deploy(image).then(
        () => Promise.reject(new Error('it was not told')),
        () => undefined,
      );
    theirs.push(await told(host, 'control-', isTold));
  }
  return { ours, theirs };
}
