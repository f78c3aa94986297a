import { chmod, chown } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Backups, Berth, Revived } from '#backup/engine';
import { DeployError } from '#core/errors';
import type { DrillCheck } from '#protocol/backup';
import { lastWords } from '#release/containers';
import type { Host } from '#resources/resource';

/** Who owns files, by number. */
export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** A container that serves restored data, and sees nothing else. */
export interface Serving {
  readonly berth: Berth;
  readonly image: string;
  /** Left out: whom the image takes. */
  readonly user?: Owner;
  readonly data: string;
  /** Where the container finds it. */
  readonly mount: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Files beside it that it reads: where each lies, and where the container finds it. */
  readonly files?: Readonly<Record<string, string>>;
  readonly command: readonly string[];
  /** Whether it answers by now. */
  readonly answers: () => Promise<boolean>;
}

/** Seconds until a server must answer: it may load gigabytes. */
const LIMIT = 3600;

/** Milliseconds between looks at a server that is starting. */
const PAUSE = { least: 100, most: 2000 };

/** The image that a container runs now, by its id; else the one that was noted, else the one that is declared. */
export async function imageFor(
  host: Host,
  { container, image }: { readonly container: string; readonly image: string },
  noted?: string,
): Promise<string> {
  const running = await host.docker<{ readonly Image: string }>(`/containers/${container}/json`);
  return running?.Image ?? noted ?? image;
}

/** Gives a folder to who is to use it, and to nobody else. */
export async function giveTo(folder: string, { uid, gid }: Owner): Promise<void> {
  await chown(folder, uid, gid);
  await chmod(folder, 0o700);
}

async function remove(host: Host, name: string): Promise<void> {
  await host.run(['docker', 'rm', '--force', '--volumes', name], { timeout: 120 });
}

async function untilAnswers(host: Host, name: string, answers: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + LIMIT * 1000;
  for (let pause = PAUSE.least; !(await answers()); pause = Math.min(pause * 1.3, PAUSE.most)) {
    const found = await host.docker<{ readonly State: { readonly Status: string } }>(`/containers/${name}/json`);
    const isRunning = found?.State.Status === 'running';
    if (isRunning && performance.now() < deadline) {
      await sleep(pause);
      continue;
    }
    const why = isRunning ? `did not answer within ${LIMIT} s` : 'gave up';
    throw new DeployError('copy-broken', `The server ${why} on the restored copy:\n${await lastWords(host, name)}`, {
      hint: 'Take a new copy at once with `deploy backup now <environment>`.',
    });
  }
}

/** Starts a server on restored data, cut off from every network, and waits until it answers. */
export async function serve({ host }: Backups, serving: Serving): Promise<Revived> {
  const { berth, image, user, data, mount, env = {}, files = {}, command, answers } = serving;
  const { name, options } = berth;
  const began = performance.now();
  try {
    await host.must(
      [
        ...['docker', 'run', '--detach', '--name', name, '--network', 'none', '--log-driver', 'local', ...options],
        ...(user === undefined ? [] : ['--user', `${user.uid}:${user.gid}`, '--cap-drop', 'ALL']),
        ...['--security-opt', 'no-new-privileges:true'],
        ...Object.entries(env).flatMap(([key, value]) => ['--env', `${key}=${value}`]),
        ...Object.entries(files).flatMap(([path, inside]) => ['--volume', `${path}:${inside}:ro`]),
        ...['--volume', `${data}:${mount}`, image, ...command],
      ],
      { timeout: 900 },
    );
    await untilAnswers(host, name, answers);
  } catch (error) {
    await remove(host, name);
    throw error;
  }
  const duration = (performance.now() - began) / 1000;
  const started: DrillCheck = { name: 'started', result: 'passed', found: 'the server answers', duration };
  return { container: name, checks: [started], [Symbol.asyncDispose]: () => remove(host, name) };
}
