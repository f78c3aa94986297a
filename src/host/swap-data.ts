import { access, mkdir, readdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { stateFolder } from '#backup/places';
import { hasScratches, sweepScratch } from '#backup/scratch';
import { asDeployError, DeployError } from '#core/errors';
import { containersOf, type Inspected, lastWords, startContainer, stopContainer } from '#release/containers';
import { doorsOf } from '#release/door';
import { asText, readJson, replaceText, syncFolder } from '#release/durable';
import { gate, isHealthy } from '#release/gate';
import { empty } from '#release/passage';
import { readRecord } from '#release/record';
import { rollBack } from '#release/roll-back';
import { otherSlot, projectOf, readSlots } from '#release/slots';
import type { Host } from '#resources/resource';
import { beginMaintenance, endMaintenance, readMaintenance } from './maintenance.ts';

/** Restored data on its way into the place of what an app uses. */
export interface Swap {
  readonly source: string;
  readonly containers: readonly string[];
  /** Where the data is that is used. */
  readonly path: string;
  /** Where the restored data waits, and where what is used goes. */
  readonly next: string;
  readonly before: string;
  /** Whether visitors saw the maintenance page before, so that they go on to. */
  readonly wasClosed: boolean;
  readonly by: string;
  /** The release that goes with the data; left out: the one that is live. */
  readonly release?: string;
}

/** Seconds that a server gets to write everything down, and to start on other data. */
const STOPPING = 120;
const STARTING = 300;

/** Milliseconds that a container without a health check has to run before it counts as one that does. */
const STEADY = 3000;

function swapPath(app: string): string {
  return join(stateFolder(app), 'swap.json');
}

async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

async function inspected(host: Host, names: readonly string[]): Promise<readonly Inspected[]> {
  const found = await Promise.all(names.map((name) => host.docker<Inspected>(`/containers/${name}/json`)));
  return found.flatMap((one) => one ?? []);
}

async function stopNamed(host: Host, names: readonly string[]): Promise<void> {
  const containers = await inspected(host, names);
  await Promise.all(containers.map((one) => stopContainer(host, one, STOPPING)));
}

/** Starts containers and waits until each is healthy, or has run for a while where it has no health check. */
async function startNamed(host: Host, names: readonly string[]): Promise<void> {
  await Promise.all(names.map((name) => startContainer(host, name)));
  const started = Date.now();
  for (;;) {
    const containers = await inspected(host, names);
    const ended = containers.find(({ State }) => State.Status !== 'running');
    const name = ended?.Name.replace(/^\//, '');
    const late = Date.now() - started > STARTING * 1000;
    if (name !== undefined || late) {
      const words = name === undefined ? '' : `:\n${await lastWords(host, name)}`;
      throw new DeployError('restore-failed', `${name ?? names.join(', ')} does not run${words}`, {
        hint: 'Look at what it says with `docker logs` on the host.',
      });
    }
    const steady = containers.some(({ State }) => State.Health !== undefined) || Date.now() - started > STEADY;
    if (steady && containers.every(isHealthy)) return;
    await sleep(200);
  }
}

/** Shows visitors the maintenance page; an app without a route has none, and goes without. */
async function closeDoors(host: Host, app: string): Promise<void> {
  try {
    await beginMaintenance(app, { since: new Date().toISOString(), by: host.by, allow: [] });
  } catch (thrown) {
    host.say(`no maintenance page: ${asDeployError(thrown).message}`);
  }
}

/** Starts the app's own containers anew, so that nothing they remember is of data that is gone, and proves them. */
async function restartApp(host: Host, app: string): Promise<void> {
  const { live, workers, ...slots } = await readSlots(app);
  const occupant = live === undefined ? undefined : slots[live];
  const parts = [...(live === undefined ? [] : [live]), ...(workers === undefined ? [] : ['workers' as const])];
  const all = (await Promise.all(parts.map((part) => containersOf(host, projectOf(app, part))))).flat();
  if (all.length === 0) return;
  host.say('starting the app anew on it');
  await Promise.all(
    all.map(({ Id }) => host.docker(`/containers/${Id}/restart`, { method: 'POST', timeout: STOPPING })),
  );
  const record = occupant === undefined ? undefined : await readRecord(app, occupant.release);
  if (live === undefined || record === undefined) return;
  await gate(host, projectOf(app, live), doorsOf(record, live), record.props.healthTimeout);
}

async function settle(app: string, { wasClosed }: Swap): Promise<void> {
  if (!wasClosed) await endMaintenance(app);
  await rm(swapPath(app), { force: true });
  await syncFolder(stateFolder(app));
}

async function goBack(host: Host, app: string, swap: Swap): Promise<void> {
  const { path, next, before, containers } = swap;
  await stopNamed(host, containers);
  await rename(path, next);
  await rename(before, path);
  await syncFolder(dirname(path));
  await startNamed(host, containers);
  await settle(app, swap);
}

/** Brings the release live that goes with the data. What is still warm of it remembers data that is gone. */
async function bringRelease(host: Host, app: string, release: string): Promise<void> {
  const { live, ...slots } = await readSlots(app);
  if (live === undefined || slots[live]?.release === release) return restartApp(host, app);
  await empty(host, app, otherSlot(live));
  await rollBack(host, app, release);
}

/** Has the app use what lies in its data's place by now, and lets visitors in. */
async function takeUp(host: Host, app: string, swap: Swap): Promise<void> {
  try {
    await startNamed(host, swap.containers);
    // The two belong together: one without the other is neither the state before nor the one that was asked for.
    if (swap.release !== undefined) await bringRelease(host, app, swap.release);
  } catch (thrown) {
    await goBack(host, app, swap);
    const { message } = asDeployError(thrown);
    throw new DeployError('restore-failed', `All is as it was before: ${message}`, {
      hint: `Mend what it names; the restored data is in ${swap.next}.`,
    });
  }
  if (swap.release !== undefined) return settle(app, swap);
  try {
    await restartApp(host, app);
  } catch (thrown) {
    // Old data under this release would be no better than this release on old data: a person has to choose.
    await rm(swapPath(app), { force: true });
    throw new DeployError(
      'restore-failed',
      `${swap.source} is restored, and the app is not well on it: ${asDeployError(thrown).message}`,
      {
        hint: `Visitors see the maintenance page. Bring a release live that fits the data (\`deploy rollback\`), then \`deploy maintenance off\`; what was there before is in ${swap.before}.`,
      },
    );
  }
  await settle(app, swap);
}

/** Puts restored data, which waits beside it, in the place of what an app uses. Whatever fails, one of the two serves. */
export async function swapData(host: Host, app: string, swap: Omit<Swap, 'wasClosed' | 'by'>): Promise<void> {
  const all: Swap = { ...swap, by: host.by, wasClosed: (await readMaintenance(app)) !== undefined };
  await mkdir(stateFolder(app), { recursive: true, mode: 0o700 });
  await replaceText(swapPath(app), asText(all));
  if (!all.wasClosed) await closeDoors(host, app);
  host.say(`stopping ${swap.containers.join(', ')}`);
  await stopNamed(host, swap.containers);
  if (await isThere(swap.path)) await rename(swap.path, swap.before);
  await rename(swap.next, swap.path);
  await syncFolder(dirname(swap.path));
  await takeUp(host, app, all);
}

async function recoverSwap(host: Host, app: string): Promise<void> {
  const swap = await readJson<Swap>(swapPath(app));
  if (swap === undefined) return;
  const { source, path, next, before } = swap;
  host.say(`a restoration of ${source} was interrupted`);
  if (!(await isThere(path)) && (await isThere(before))) await rename(before, path);
  // Where it waits no more, it is in its place.
  if (!(await isThere(next)) && (await isThere(before))) {
    host.say(`going on with the restored ${source}`);
    return takeUp(host, app, swap);
  }
  host.say(`${source} stays as it was`);
  await startNamed(host, swap.containers);
  await settle(app, swap);
  await host.run(['rm', '--recursive', '--force', next], { timeout: 600 });
}

/** Brings to an end what a killed run has left between one state of an app's data and another, and beside it. */
export async function recoverSwaps(host: Host): Promise<void> {
  const apps = await readdir(dirname(stateFolder('any'))).catch(() => []);
  for (const app of apps) {
    await recoverSwap(host, app);
    if (await hasScratches(app)) await sweepScratch(host, app);
  }
}
