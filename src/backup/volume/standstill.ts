import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Done } from '#backup/engine';
import { stateFolder } from '#backup/places';
import { DeployError } from '#core/errors';
import { lockFile } from '#core/file-lock';
import { asText, readJson, replaceText, syncFolder } from '#release/durable';
import type { Host } from '#resources/resource';

/** What was done to containers, written down before it is done. */
interface Intent {
  readonly how: 'pause' | 'stop';
  readonly containers: readonly { readonly id: string; readonly name: string }[];
}

/** A container as the engine lists it; only what is asked for here. */
export interface Mounting {
  readonly Id: string;
  readonly Names: readonly string[];
  readonly State: string;
  readonly Mounts: readonly { readonly Type: string; readonly Name?: string; readonly Source: string }[];
}

/** Seconds that a copy waits for another one that has containers stand still. */
const PATIENCE = 3 * 3600;

/** Seconds that a container has to stop where it was given no time of its own. */
const GRACE = 10;

function intentPath(app: string): string {
  return join(stateFolder(app), 'standing-still.json');
}

function lockPath(app: string): string {
  return join(stateFolder(app), 'standing-still.lock');
}

function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder.endsWith('/') ? folder : `${folder}/`);
}

// The engine lists a volume that has no name of ours without its place, by its own name, which its place has in it.
function sees(root: string, { Source, Name = '' }: Mounting['Mounts'][number]): boolean {
  if (Source === '') return root.split('/').includes(Name);
  return isWithin(Source, root) || isWithin(root, Source);
}

/** The running containers that see a folder, or part of it. Pure. */
export function usersOf(root: string, containers: readonly Mounting[]): readonly Mounting[] {
  return containers.filter(({ State, Mounts }) => State === 'running' && Mounts.some((mount) => sees(root, mount)));
}

/** Lets containers go on; those that are gone or go on already are left alone. Rejects where one does not. */
async function letGo(host: Host, app: string, { how, containers }: Intent): Promise<void> {
  const failed: string[] = [];
  for (const { id, name } of containers) {
    try {
      const found = await host.docker<{ readonly State: { readonly Paused: boolean } }>(`/containers/${id}/json`);
      if (found === undefined) continue;
      if (how === 'stop') await host.docker(`/containers/${id}/start`, { method: 'POST', timeout: 120 });
      else if (found.State.Paused) await host.docker(`/containers/${id}/unpause`, { method: 'POST' });
    } catch (error) {
      failed.push(`${name}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  if (failed.length > 0) {
    throw new DeployError(
      'backup-failed',
      `Not all containers that were to stand still go on again:\n${failed.join('\n')}`,
      {
        hint: 'It is tried again each minute; `docker start` on the host does it by hand.',
      },
    );
  }
  await rm(intentPath(app), { force: true });
  await syncFolder(stateFolder(app));
}

async function bring(host: Host, { how, containers }: Intent): Promise<void> {
  for (const { id } of containers) {
    if (how === 'pause') await host.docker(`/containers/${id}/pause`, { method: 'POST' });
    else {
      const found = await host.docker<{ readonly Config: { readonly StopTimeout?: number } }>(`/containers/${id}/json`);
      const seconds = found?.Config.StopTimeout ?? GRACE;
      await host.docker(`/containers/${id}/stop?t=${seconds}`, { method: 'POST', timeout: seconds + 30 });
    }
  }
}

/**
 * Has all containers that use a folder stand still, until it is disposed of. What is about to be done is written down
 * first, so that `sweep` can undo it whatever becomes of this process. One copy of an app at a time does so.
 */
export async function standStill(
  host: Host,
  app: string,
  root: string,
  how: 'pause' | 'stop',
): Promise<AsyncDisposable> {
  await mkdir(stateFolder(app), { recursive: true, mode: 0o700 });
  const lock = await lockFile(lockPath(app), PATIENCE);
  if (lock === undefined) {
    throw new DeployError('locked', 'Another copy has containers of this app stand still.', {
      hint: 'It is tried again with the next run.',
    });
  }
  try {
    const left = await readJson<Intent>(intentPath(app));
    if (left !== undefined) await letGo(host, app, left);
    const users = usersOf(root, (await host.docker<Mounting[]>('/containers/json')) ?? []);
    const containers = users.map(({ Id, Names }) => ({ id: Id, name: (Names[0] ?? Id).replace(/^\//, '') }));
    const intent: Intent = { how, containers };
    await replaceText(intentPath(app), asText(intent));
    const release = async (): Promise<void> => {
      try {
        await letGo(host, app, intent);
      } finally {
        await lock[Symbol.asyncDispose]();
      }
    };
    try {
      await bring(host, intent);
    } catch (error) {
      await release();
      throw error;
    }
    return { [Symbol.asyncDispose]: release };
  } catch (error) {
    await lock[Symbol.asyncDispose]();
    throw error;
  }
}

/** Lets go on what a copy that was killed has left standing still. */
export async function sweep(host: Host, app: string): Promise<readonly Done[]> {
  const seen = await readJson<Intent>(intentPath(app));
  if (seen === undefined) return [];
  await using lock = await lockFile(lockPath(app));
  // Whoever has it is at work.
  if (lock === undefined) return [];
  const intent = await readJson<Intent>(intentPath(app));
  if (intent === undefined) return [];
  await letGo(host, app, intent);
  return [{ details: { resumed: intent.containers.map(({ name }) => name) } }];
}
