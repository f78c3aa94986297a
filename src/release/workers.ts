import { setTimeout as sleep } from 'node:timers/promises';
import { asDeployError, DeployError } from '#core/errors';
import type { Host } from '#resources/resource';
import { causeOfEnd, rejected } from './cause.ts';
import {
  containersOf,
  type Inspected,
  inspectAll,
  NO_RESTART,
  nameOf,
  type RestartPolicy,
  removeContainer,
  setRestart,
  startContainer,
  stopContainer,
} from './containers.ts';
import { findEnded, isHealthy, refuseIll } from './gate.ts';
import { occupy } from './passage.ts';
import { readRecord } from './record.ts';
import { arm, disarm } from './rescue.ts';
import type { Run } from './run.ts';
import { projectOf, readSlots, releaseFolder } from './slots.ts';
import { compose, serviceOf, startCreated } from './start.ts';

/** Milliseconds a worker has to run before it counts as one that does: nobody asks it anything. */
const STEADY = 3000;

/** Milliseconds between looks at it. */
const LOOK = 200;

/** Seconds a worker has to become healthy, where it has a health check. */
const HEALTHY = 120;

/** Seconds a container gets after SIGTERM where it does not say itself: Docker's own default. */
const GRACE = 10;

/** Seconds for making their containers, on top of what the old ones take to end. */
const CREATE = 120;

/** The release that workers are of. */
type Named = Pick<Run, 'release' | 'tag'>;

/** Waits until containers have run for a while and are healthy; rejects with `release-rejected` and the cause. */
async function prove(host: Host, project: string, ids: ReadonlySet<string>): Promise<void> {
  const started = performance.now();
  const restarts = new Map<string, number>();
  for (;;) {
    const containers = (await inspectAll(host, project)).filter(({ Id }) => ids.has(Id));
    const spent = performance.now() - started;
    const ended = findEnded(containers, restarts);
    if (ended !== undefined) throw await rejected(host, causeOfEnd(ended), ended);
    await refuseIll(host, containers, spent >= HEALTHY * 1000);
    if (spent >= STEADY && containers.length === ids.size && containers.every(isHealthy)) return;
    if (spent >= HEALTHY * 1000) {
      throw new DeployError('docker-failed', `Docker knows nothing of containers of ${project} any more.`, {
        hint: 'Look at `systemctl status docker` on the host, then run the same command again.',
      });
    }
    await sleep(LOOK);
  }
}

/** What every worker is declared with. */
const RESTART: RestartPolicy = { Name: 'unless-stopped', MaximumRetryCount: 0 };

/** Whether a container is still to be started, or to be seen to run: Docker does not restart it before. */
function isUnproven({ State, HostConfig }: Inspected): boolean {
  return State.Status !== 'running' || HostConfig.RestartPolicy.Name === NO_RESTART.Name;
}

/** Starts containers that were made, and waits until they are seen to run. */
async function startProven(host: Host, project: string, containers: readonly Inspected[]): Promise<void> {
  if (containers.length === 0) return;
  await startCreated(host, containers);
  try {
    await prove(host, project, new Set(containers.map(({ Id }) => Id)));
  } finally {
    await Promise.all(containers.map(({ Id }) => setRestart(host, Id, RESTART)));
  }
  // Docker starts again what ends from now on, and not what ended a moment ago; what runs it leaves alone.
  await Promise.all(containers.map(({ Id }) => startContainer(host, Id)));
}

const isOf = (folder: string) => (container: Inspected) =>
  container.Config.Labels['com.docker.compose.project.working_dir'] === `${folder}/workers`;

/**
 * Replaces workers that may overlap: the new ones run, and are seen to, before the old ones are told to stop. Where they
 * do not, the old ones stay.
 */
async function overlapOld(
  host: Host,
  app: string,
  folder: string,
  replicas: Readonly<Record<string, number>>,
): Promise<void> {
  const project = projectOf(app, 'workers');
  const overlapping = async () => (await inspectAll(host, project)).filter((one) => serviceOf(one) in replicas);
  const old = (await overlapping()).filter((one) => !isOf(folder)(one));
  if (old.length === 0) return;
  const scale = Object.fromEntries(
    Object.entries(replicas).map(([name, count]) => [
      name,
      count + old.filter((one) => serviceOf(one) === name).length,
    ]),
  );
  await compose(host, app, 'workers', folder, 'create', { scale });
  const fresh = (await overlapping()).filter(isOf(folder));
  try {
    await startProven(host, project, fresh.filter(isUnproven));
  } catch (thrown) {
    const { code, message, hint } = asDeployError(thrown);
    await Promise.all(fresh.map(({ Id }) => removeContainer(host, Id)));
    throw new DeployError(code, message, {
      hint: `${hint.replace(/ The container is kept: .*$/, '')} The old ones go on.`,
      cause: thrown,
    });
  }
  await Promise.all(old.map((one) => stopContainer(host, one, GRACE).then(() => removeContainer(host, one.Id))));
}

/**
 * Replaces workers that may not overlap: making the new containers ends the old ones. Ones that do not keep running are
 * left to Docker, which starts them again and again: what they miss may come.
 */
async function replace(host: Host, app: string, folder: string): Promise<readonly Inspected[]> {
  const project = projectOf(app, 'workers');
  const graces = (await inspectAll(host, project)).map(({ Config }) => Config.StopTimeout ?? GRACE);
  await compose(host, app, 'workers', folder, 'create', { wait: CREATE + Math.max(0, ...graces) });
  const containers = await inspectAll(host, project);
  const made = containers.filter(isUnproven);
  try {
    await startProven(host, project, made);
  } catch (error) {
    await Promise.allSettled(made.map(({ Id }) => startContainer(host, Id)));
    throw error;
  }
  return containers;
}

function explained(tag: string, error: DeployError): DeployError {
  if (error.code !== 'release-rejected') return error;
  return new DeployError('workers-failed', `${tag} serves, and its workers do not keep running. ${error.message}`, {
    hint: `${error.hint.replace(/^Traffic was not touched\. /, '')} \`deploy rollback\` brings back the release before with its workers.`,
    cause: error,
  });
}

/** Has the workers of a release run, whatever ran before. Those that do already are left alone. */
export async function startWorkers(host: Host, app: string, { release, tag }: Named): Promise<void> {
  const folder = releaseFolder(app, release);
  const { overlap = {} } = (await readRecord(app, release))?.props ?? {};
  await occupy(app, 'workers', undefined);
  // Between the end of the old and the start of the new nobody works; should we be killed there, the host goes on.
  await arm(host, app);
  try {
    await overlapOld(host, app, folder, overlap);
    const containers = await replace(host, app, folder);
    await occupy(app, 'workers', { release, tag, containers: containers.map(nameOf).sort() });
  } catch (thrown) {
    throw explained(tag, asDeployError(thrown));
  } finally {
    await disarm(app);
  }
}

/** Replaces the workers by those of a release, or takes them away where it has none. */
export async function replaceWorkers(host: Host, app: string, { release, tag }: Named): Promise<void> {
  const { workers } = await readSlots(app);
  if (workers?.release === release) return;
  if ((await readRecord(app, release))?.hasWorkers === true) return startWorkers(host, app, { release, tag });
  if ((await containersOf(host, projectOf(app, 'workers'))).length === 0) return;
  await compose(host, app, 'workers', releaseFolder(app, workers?.release ?? release), 'down');
  await occupy(app, 'workers', undefined);
}
