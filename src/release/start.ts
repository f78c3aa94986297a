import { join } from 'node:path';
import { asDeployError } from '#core/errors';
import { explainCompose } from '#resources/compose-failure';
import type { ComposeProject, Host } from '#resources/resource';
import { causeOfNoStart, rejected } from './cause.ts';
import { type Inspected, inspectAll, NO_RESTART, nameOf, setRestart, startContainer } from './containers.ts';
import { projectOf, type Slot } from './slots.ts';

/** Runs one command of Compose on one of an app's projects; what it says of images and networks is explained. */
export async function compose(
  host: Host,
  app: string,
  part: Slot | 'workers',
  folder: string,
  action: 'create' | 'up' | 'down',
  more: Pick<ComposeProject, 'wait' | 'scale'> = {},
): Promise<void> {
  const name = projectOf(app, part);
  try {
    await host.compose({ name, directory: join(folder, part), ...more }, action);
  } catch (error) {
    throw explainCompose(name, asDeployError(error)) ?? error;
  }
}

// Compose writes it as `web.1:service_started:false,…`.
function dependenciesOf({ Config }: Inspected): readonly string[] {
  const text = Config.Labels['com.docker.compose.depends_on'] ?? '';
  return text.split(',').flatMap((entry) => entry.split(':')[0] || []);
}

/** The service of a Compose file that a container is of. */
export function serviceOf({ Config }: Inspected): string {
  return Config.Labels['com.docker.compose.service'] ?? '';
}

/** Containers in the order of their dependencies, in groups that may start side by side. */
export function inOrder(containers: readonly Inspected[]): readonly (readonly Inspected[])[] {
  const groups: Inspected[][] = [];
  const known = new Set(containers.map(serviceOf));
  const started = new Set<string>();
  let left = [...containers];
  while (left.length > 0) {
    const ready = left.filter((one) => dependenciesOf(one).every((name) => started.has(name) || !known.has(name)));
    // Compose refuses a circle, so there is always one; were there none, all at once is better than never.
    const group = ready.length === 0 ? left : ready;
    groups.push(group);
    for (const one of group) started.add(serviceOf(one));
    left = left.filter((one) => !group.includes(one));
  }
  return groups;
}

/** Containers that were started, and how they are to be treated once it may serve. */
export interface Started {
  readonly names: readonly string[];
  /** Lets Docker start the containers again by itself from now on, as was declared. */
  keepRunning(): Promise<void>;
}

/** Makes a release's containers in an empty slot, all but started. */
export async function createSlot(host: Host, app: string, slot: Slot, folder: string): Promise<readonly Inspected[]> {
  await compose(host, app, slot, folder, 'create');
  return inspectAll(host, projectOf(app, slot));
}

/**
 * Starts containers that were made. Until they are proven, Docker does not start again what crashes: a crash would be
 * told later, and without its exit code.
 */
export async function startCreated(host: Host, containers: readonly Inspected[]): Promise<Started> {
  await Promise.all(containers.map(({ Id }) => setRestart(host, Id, NO_RESTART)));
  for (const group of inOrder(containers)) {
    await Promise.all(
      group.map(async (container) => {
        try {
          await startContainer(host, container.Id);
        } catch (thrown) {
          throw await rejected(host, causeOfNoStart(nameOf(container), asDeployError(thrown).message));
        }
      }),
    );
  }
  return {
    names: containers.map(nameOf).sort(),
    async keepRunning() {
      await Promise.all(containers.map(({ Id, HostConfig }) => setRestart(host, Id, HostConfig.RestartPolicy)));
    },
  };
}
