import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { open } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { DeployError } from '#core/errors';
import { formatBytes } from '#core/units';
import type { Cargo } from '#protocol/images';
import type { Host } from '#resources/resource';
import { availableMemory } from './preflight.ts';
import { blobFile } from './staging.ts';

type StagedContext = Extract<Cargo, { kind: 'context' }>;

/** Seconds that one build may take. */
const DEADLINE = 1800;

/** Bytes of memory that a build is not started below, and that are left to the apps while one runs. */
const MEMORY = { least: 512 * 1024 ** 2, left: 256 * 1024 ** 2 };

/** Where the steps of builds run: beside whatever serves they get a fifth of the processors and the disk, and what is idle. */
const SLICE = 'slipway-build.slice';
const SHARES = ['CPUWeight=20', 'IOWeight=20'];

const LAST_LINES = 15;

async function limit(host: Host, available: number): Promise<void> {
  const properties = [...SHARES, `MemoryMax=${available - MEMORY.left}`];
  const output = await host.run(['systemctl', 'set-property', '--runtime', SLICE, ...properties]);
  if (output.exitCode !== 0) host.warn(`The build runs without limits: ${output.stderr.trim()}`);
}

async function refuseWithoutMemory(host: Host, reference: string): Promise<number> {
  const available = availableMemory((await host.readFile('/proc/meminfo')) ?? '');
  if (available >= MEMORY.least) return available;
  throw new DeployError(
    'image-build-failed',
    `${reference} is not built on the host: only ${formatBytes(available)} of memory are available, and the app needs its own.`,
    {
      hint: 'Traffic was not touched. Add swap (`harden.swap`), or build elsewhere and release with `--images local`.',
    },
  );
}

/** Builds an image from what the laptop has sent, under a name; what the build says is told as it says it. */
export async function buildImage(host: Host, reference: string, cargo: StagedContext, name: string): Promise<void> {
  const { pin, dockerfile, target, args } = cargo;
  await limit(host, await refuseWithoutMemory(host, reference));
  host.say(`building ${reference}`);
  const file = await open(blobFile(pin));
  const argv = [
    // The build ends with us: otherwise it would be in the way of the run that takes up what a killed one has left.
    ...['setpriv', '--pdeathsig', 'TERM', 'timeout', '--kill-after=20', String(DEADLINE)],
    ...['docker', 'build', '--cgroup-parent', SLICE, '--tag', name, '--file', dockerfile],
    ...(target === undefined ? [] : ['--target', target]),
    // Named here and worth something in the environment alone: arguments of programs are seen by everybody.
    ...Object.keys(args).flatMap((key) => ['--build-arg', key]),
    '-',
  ];
  const [program = '', ...rest] = argv;
  const environment = { ...process.env, ...args, HOME: '/root', LC_ALL: 'C.UTF-8', BUILDKIT_PROGRESS: 'plain' };
  const last: string[] = [];
  try {
    const child = spawn(program, rest, { stdio: [file.fd, 'pipe', 'pipe'], env: environment });
    for (const stream of [child.stdout, child.stderr]) {
      if (stream === null) continue;
      createInterface({ input: stream }).on('line', (line) => {
        last.push(line);
        if (last.length > LAST_LINES) last.shift();
        host.tell({ type: 'build.output', image: reference, line });
      });
    }
    const [code] = (await once(child, 'close')) as [number | null];
    if (code === 0) return;
    const how = code === 124 ? `did not end within ${DEADLINE} s` : 'failed';
    throw new DeployError('image-build-failed', `Building ${reference} ${how}:\n${last.join('\n')}`, {
      hint: 'Traffic was not touched. Mend what its last lines name, and run the same command again.',
    });
  } finally {
    await file.close();
    // What no build has used for a week only fills the disk.
    const filters = encodeURIComponent(JSON.stringify({ until: ['168h'] }));
    await host.docker(`/build/prune?filters=${filters}`, { method: 'POST' }).catch(() => undefined);
  }
}
