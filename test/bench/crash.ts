import { run, type SandboxHost } from '#sandbox/sandbox';
import type { Control } from '#test/support/load-controls';
import { CLI } from './built.ts';
import { median, timed } from './measure.ts';
import type { Project } from './project.ts';
import { type Row, row } from './report.ts';

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

/** When a container first crashed since then, by Docker's own word; milliseconds since the epoch. */
async function crashAfter(host: SandboxHost, since: number): Promise<number> {
  const [from, until] = [since, Date.now()].map((at) => (at / 1000).toFixed(3));
  const format = '{{.TimeNano}} {{index .Actor.Attributes "exitCode"}}';
  const window = [`--since=${from}`, `--until=${until}`, '--filter=event=die', `--format=${format}`];
  const { stdout } = await run(host.name, ['docker', 'events', ...window], { timeout: 30 });
  const line = stdout.split('\n').find((text) => text.endsWith(` ${CODE}`));
  if (line === undefined) throw new Error(`no container crashed:\n${stdout}`);
  return Number(line.split(' ')[0]) / 1e6;
}

/** Seconds from the crash until whoever released was told, as the end of what they ran. */
async function told(host: SandboxHost, release: () => Promise<unknown>): Promise<number> {
  const began = Date.now();
  await release();
  const ended = Date.now();
  return (ended - (await crashAfter(host, began))) / 1000;
}

/** How long after its crash a release is told to have failed. */
export async function crashRow({ link, host, rounds, project, hand, image, declare }: Crashes): Promise<Row> {
  const ours: number[] = [];
  const theirs: number[] = [];
  const argv = [process.execPath, CLI, 'release', project.environment, '--project', project.folder, '--tag', 'crash'];
  for (let round = 1; round <= rounds; round += 1) {
    console.error(`crash ${round} of ${rounds}, ${link}`);
    declare(1000 + round);
    ours.push(await told(host, () => timed(argv, { expect: [4] })));
    const isTold = () =>
      hand.deploy(image).then(
        () => Promise.reject(new Error('it was not told')),
        () => undefined,
      );
    theirs.push(await told(host, isTold));
  }
  const peer = { peer: 'blue/green with nginx -s reload', peerValue: median(theirs) };
  return row({ link, name: 'crash told after', slipway: median(ours), ...peer });
}
