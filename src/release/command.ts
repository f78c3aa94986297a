import { join } from 'node:path';
import { DeployError } from '#core/errors';
import type { Host } from '#resources/resource';
import { containersOf, lastWords, nameOf, removeAll, startContainer } from './containers.ts';
import { projectOf } from './slots.ts';

/** Seconds a release command may take: a migration of a large table takes its time. */
const LIMIT = 3600;

/** Waits for an app's release command to end, where one runs; resolves with its exit code. */
export async function awaitCommand(host: Host, app: string): Promise<number | undefined> {
  const container = (await containersOf(host, projectOf(app, 'command')))[0];
  if (container === undefined) return undefined;
  const ended = await host.docker<{ StatusCode: number }>(`/containers/${container.Id}/wait`, {
    method: 'POST',
    timeout: LIMIT,
  });
  return ended?.StatusCode;
}

/**
 * Runs the release command in a container of the new image that is there for nothing else. Rejects with
 * `release-rejected` and its last words where it fails; its container is kept then.
 */
export async function runCommand(host: Host, app: string, folder: string): Promise<void> {
  const project = projectOf(app, 'command');
  await removeAll(host, project);
  await host.compose({ name: project, directory: join(folder, 'command') }, 'create');
  const container = (await containersOf(host, project))[0];
  if (container === undefined) return;
  host.say('running the release command');
  await startContainer(host, container.Id);
  const code = await awaitCommand(host, app);
  if (code === 0) return removeAll(host, project);
  const name = nameOf(container);
  const words = await lastWords(host, name);
  throw new DeployError(
    'release-rejected',
    `The release command failed (exit ${code ?? 'unknown'})${words === '' ? ' and said nothing.' : `. Its last words:\n${words}`}`,
    {
      hint: `Traffic was not touched. Mend what it says and release again; \`docker logs ${name}\` on the host shows more.`,
    },
  );
}
