import { createHash } from 'node:crypto';
import { mkdir, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { asDeployError, DeployError } from '#core/errors';
import { explainCompose } from '#resources/compose-failure';
import type { ReleaseProps } from '#resources/release';
import type { Host } from '#resources/resource';
import { containersOf, drained, nameOf } from './containers.ts';
import { gate, rejection } from './gate.ts';
import {
  flip,
  forgetReleases,
  otherSlot,
  projectOf,
  readSlots,
  releaseFolder,
  releasesOf,
  type Slot,
  writeOccupants,
} from './slots.ts';

/** Releases whose files are kept for a later look and a later rollback. */
const KEPT = 5;

/** What serves an app now. */
export interface Live {
  readonly release: string;
  readonly tag: string;
  readonly slot: Slot;
  /** Containers of the live slot or of the workers that should run and do not. */
  readonly missing: readonly string[];
  /** The release the workers run. */
  readonly workers: string | undefined;
}

/** A release's name: the digest of all that it consists of. */
export function releaseId(props: ReleaseProps): string {
  const { app: _, healthTimeout: __, drain: ___, ...content } = props;
  return createHash('sha256').update(JSON.stringify(content)).digest('hex').slice(0, 12);
}

/** What serves an app now; undefined before its first release. */
export async function readLive(host: Host, app: string): Promise<Live | undefined> {
  const slots = await readSlots(app);
  if (slots.live === undefined) return undefined;
  const occupant = slots[slots.live];
  if (occupant === undefined) return undefined;
  const [serving, working] = await Promise.all([
    containersOf(host, projectOf(app, slots.live)),
    slots.workers === undefined ? [] : containersOf(host, projectOf(app, 'workers')),
  ]);
  const running = new Set([...serving, ...working].filter(({ State }) => State === 'running').map(nameOf));
  const wanted = [...occupant.containers, ...(slots.workers?.containers ?? [])];
  return {
    release: occupant.release,
    tag: occupant.tag,
    slot: slots.live,
    missing: wanted.filter((name) => !running.has(name)),
    workers: slots.workers?.release,
  };
}

async function stage(props: ReleaseProps, id: string): Promise<string> {
  const folder = releaseFolder(props.app, id);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  for (const [service, text] of Object.entries(props.environments)) {
    await writeFile(join(folder, `${service}.env`), text, { mode: 0o600 });
  }
  const parts = { ...props.slots, ...(props.workers === undefined ? {} : { workers: props.workers }) };
  for (const [part, text] of Object.entries(parts)) {
    await mkdir(join(folder, part), { recursive: true, mode: 0o700 });
    await writeFile(join(folder, part, 'compose.yaml'), text, { mode: 0o600 });
  }
  return folder;
}

async function start(host: Host, app: string, part: Slot | 'workers', folder: string): Promise<readonly string[]> {
  const project = projectOf(app, part);
  try {
    await host.compose({ name: project, directory: join(folder, part) }, 'up');
  } catch (error) {
    throw explainCompose(project, asDeployError(error)) ?? error;
  }
  return (await containersOf(host, project)).map(nameOf).sort();
}

/** Starts the new release beside the one that serves; one that does not come up is a rejected release. */
async function startSlot(host: Host, app: string, slot: Slot, folder: string): Promise<readonly string[]> {
  try {
    return await start(host, app, slot, folder);
  } catch (thrown) {
    const error = asDeployError(thrown);
    throw error.code === 'command-failed' ? ((await rejection(host, projectOf(app, slot), error)) ?? error) : error;
  }
}

/** Empties a slot: an app without a route has nothing but workers, and Compose starts no project without a service. */
async function clear(host: Host, app: string, slot: Slot | 'workers', folder: string): Promise<readonly string[]> {
  await host.compose({ name: projectOf(app, slot), directory: join(folder, slot) }, 'down');
  return [];
}

async function stop(host: Host, app: string, slot: Slot, release: string): Promise<void> {
  const directory = join(releaseFolder(app, release), slot);
  await host.compose({ name: projectOf(app, slot), directory }, 'stop');
}

/** Drops the files of releases that are in no slot and not among the newest. */
async function prune(app: string, inUse: readonly (string | undefined)[]): Promise<void> {
  const folder = releasesOf(app);
  const entries = (await readdir(folder, { withFileTypes: true })).filter((entry) => entry.isDirectory());
  const dated = await Promise.all(
    entries.map(async ({ name }) => ({ name, at: (await stat(join(folder, name))).mtimeMs })),
  );
  const old = dated.sort((a, b) => b.at - a.at).slice(KEPT);
  for (const { name } of old) {
    if (!inUse.includes(name)) await rm(join(folder, name), { recursive: true, force: true });
  }
}

/**
 * Brings a release live: stages it, starts it in the idle slot, gates it, flips, drains and stops the old one, replaces
 * the workers. Until the flip the old release serves untouched; a rejected one is stopped and its container kept.
 */
export async function bringLive(host: Host, props: ReleaseProps): Promise<void> {
  const { app } = props;
  const id = releaseId(props);
  const slots = await readSlots(app);
  const old = slots.live === undefined ? undefined : slots[slots.live];
  const isLive = old?.release === id;
  const target = slots.live === undefined ? 'blue' : isLive ? slots.live : otherSlot(slots.live);
  const folder = await stage(props, id);

  host.say(`starting ${props.tag} in the ${target} slot`);
  let containers: readonly string[];
  try {
    containers = await (props.gates.length === 0 ? clear : startSlot)(host, app, target, folder);
    const doors = props.gates.map(({ service, addresses, port, path, domain }) => ({
      service,
      addresses: addresses[target],
      port,
      path,
      domain,
    }));
    await gate(host, projectOf(app, target), doors, props.healthTimeout);
  } catch (error) {
    // The stopped container stays for inspection; what serves was not touched.
    if (!isLive) await stop(host, app, target, id);
    throw error;
  }

  const occupants = { blue: slots.blue, green: slots.green, workers: slots.workers };
  const arrived = { ...occupants, [target]: { release: id, tag: props.tag, containers } };
  await writeOccupants(app, arrived);
  await flip(app, target);

  if (old !== undefined && !isLive && slots.live !== undefined) {
    const leaving = slots.live;
    host.say(`draining ${old.tag} in the ${leaving} slot`);
    const left = await drained(
      host,
      props.gates.flatMap(({ addresses }) => addresses[leaving]),
      props.drain,
    );
    if (left > 0)
      host.warn(`${left} connections to ${old.tag} were still open after ${props.drain} s and are closed now.`);
    if (old.containers.length > 0) await stop(host, app, leaving, old.release);
  }
  if (props.workers !== undefined) {
    const workers = await start(host, app, 'workers', folder);
    await writeOccupants(app, { ...arrived, workers: { release: id, tag: props.tag, containers: workers } });
  } else if (slots.workers !== undefined) {
    const directory = join(releaseFolder(app, slots.workers.release), 'workers');
    await host.compose({ name: projectOf(app, 'workers'), directory }, 'down');
    await writeOccupants(app, { ...arrived, workers: undefined });
  }
  await prune(app, [id, old?.release, slots.workers?.release]);
}

/** Takes an app's containers, slots and releases off the host. */
export async function retire(host: Host, app: string): Promise<void> {
  const slots = await readSlots(app);
  for (const part of ['blue', 'green', 'workers'] as const) {
    const occupant = slots[part];
    if (occupant === undefined) continue;
    await host.compose(
      { name: projectOf(app, part), directory: join(releaseFolder(app, occupant.release), part) },
      'down',
    );
  }
  for (const part of ['blue', 'green', 'workers'] as const) {
    const left = await containersOf(host, projectOf(app, part));
    if (left.length > 0) {
      throw new DeployError('command-failed', `Containers of ${app} are still there: ${left.map(nameOf).join(', ')}.`, {
        hint: 'Remove them with `docker rm --force` on the host, then run the same command again.',
      });
    }
  }
  await forgetReleases(app);
}
