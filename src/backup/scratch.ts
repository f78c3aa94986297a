import { randomBytes } from 'node:crypto';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { DeployError } from '#core/errors';
import { lockFile } from '#core/file-lock';
import { stampOf } from '#core/stamp';
import type { Host } from '#resources/resource';
import { stateFolder } from './places.ts';

/** The label of every container and network that is there for one restoration or drill alone; its value is the scratch's id. */
export const SCRATCH_LABEL = 'slipway.drill';

/** What a restoration or a drill works in: whatever it holds is gone afterwards, at the latest when the next one begins. */
export interface Scratch extends AsyncDisposable {
  readonly id: string;
  /** Only root gets into it. */
  readonly folder: string;
  /** Arguments of `docker run`, `docker create` and `docker network create` by which what they make is found again. */
  readonly labels: readonly string[];
}

/** Seconds for removing what may be a whole database. */
const REMOVAL = 600;
/** Seconds that whoever begins waits for another one that is sweeping. */
const PATIENCE = 600;

function scratchFolder(app: string): string {
  return join(stateFolder(app), 'scratch');
}

async function idsOf(host: Host, argv: readonly string[]): Promise<readonly string[]> {
  const { stdout } = await host.run(argv);
  return stdout.split('\n').filter((line) => line !== '');
}

/** Removes everything that one scratch has left; what is in use by a container goes only after it. */
async function clear(host: Host, app: string, id: string): Promise<void> {
  const mine = ['--filter', `label=${SCRATCH_LABEL}=${id}`, '--quiet'];
  const containers = await idsOf(host, ['docker', 'ps', '--all', ...mine]);
  if (containers.length > 0) {
    await host.run(['docker', 'rm', '--force', '--volumes', ...containers], { timeout: REMOVAL });
  }
  const networks = await idsOf(host, ['docker', 'network', 'ls', ...mine]);
  if (networks.length > 0) await host.run(['docker', 'network', 'rm', ...networks], { timeout: REMOVAL });
  await host.run(['rm', '--recursive', '--force', join(scratchFolder(app), id)], { timeout: REMOVAL });
}

async function leftovers(host: Host, app: string): Promise<readonly string[]> {
  const labelled = ['--filter', `label=slipway.app=${app}`, '--format', `{{.Label "${SCRATCH_LABEL}"}}`];
  const [files, containers, networks] = await Promise.all([
    readdir(scratchFolder(app)).catch(() => []),
    idsOf(host, ['docker', 'ps', '--all', ...labelled]),
    idsOf(host, ['docker', 'network', 'ls', ...labelled]),
  ]);
  const names = files.filter((name) => name !== 'sweep').map((name) => name.replace(/\.lock$/, ''));
  return [...new Set([...names, ...containers, ...networks])];
}

/** Removes what makers that no longer live have left; resolves with the ids of what there was. */
async function sweep(host: Host, app: string): Promise<readonly string[]> {
  const gone: string[] = [];
  for (const id of await leftovers(host, app)) {
    const path = join(scratchFolder(app), `${id}.lock`);
    const lock = await lockFile(path);
    if (lock === undefined) continue;
    await clear(host, app, id);
    await rm(path, { force: true });
    await lock[Symbol.asyncDispose]();
    gone.push(id);
  }
  return gone;
}

// Nobody sweeps between the making of a lock's file and its locking.
async function alone<T>(app: string, act: () => Promise<T>): Promise<T> {
  await mkdir(scratchFolder(app), { recursive: true, mode: 0o700 });
  await using turn = await lockFile(join(scratchFolder(app), 'sweep'), PATIENCE);
  if (turn !== undefined) return await act();
  throw new DeployError('locked', 'What earlier drills have left is being removed for too long.', {
    hint: 'Look at what `docker ps` on the host shows, and run the same command again.',
  });
}

/** Whether anything is being restored or drilled, or was left by what did so. */
export async function hasScratches(app: string): Promise<boolean> {
  return (await readdir(scratchFolder(app)).catch(() => [])).some((name) => name !== 'sweep');
}

/** Removes what restorations and drills of an app have left that were killed. */
export function sweepScratch(host: Host, app: string): Promise<readonly string[]> {
  return alone(app, () => sweep(host, app));
}

/** An empty folder to restore into, after what others have left was removed. What bears its labels goes with it. */
export async function openScratch(host: Host, app: string): Promise<Scratch> {
  return alone(app, async () => {
    await sweep(host, app);
    const at = stampOf(new Date());
    const id = `${at}-${randomBytes(2).toString('hex')}`;
    const path = join(scratchFolder(app), `${id}.lock`);
    const lock = await lockFile(path);
    const folder = join(scratchFolder(app), id);
    await mkdir(folder, { mode: 0o700 });
    return {
      id,
      folder,
      labels: ['--label', `${SCRATCH_LABEL}=${id}`, '--label', `slipway.app=${app}`],
      async [Symbol.asyncDispose]() {
        await clear(host, app, id);
        await rm(path, { force: true });
        await lock?.[Symbol.asyncDispose]();
      },
    };
  });
}
