import { DeployError } from '#core/errors';
import { formatSeconds } from '#core/units';
import type { Host } from '#resources/resource';

/** The files that apt and dpkg lock while they work. */
const LOCKS: ReadonlySet<string> = new Set([
  '/var/lib/dpkg/lock-frontend',
  '/var/lib/dpkg/lock',
  '/var/lib/apt/lists/lock',
  '/var/cache/apt/archives/lock',
]);

const PAUSE = 1000;
const REPEAT = 60_000;

/** Who holds the package system. */
export interface Holder {
  readonly pid: number;
  readonly program: string;
  readonly lock: string;
}

/** Process ids that hold a POSIX write lock on anything, from the text of /proc/locks (proc(5)). */
export function lockingProcesses(locks: string): readonly number[] {
  const pids = locks.split('\n').flatMap((line) => {
    const match = /^\d+:\s+(?:POSIX|OFDLCK)\s+\S+\s+WRITE\s+(\d+)\s/.exec(line);
    return match === null ? [] : [Number(match[1])];
  });
  return [...new Set(pids)];
}

/** The process that keeps apt or dpkg locked; undefined where nobody does. */
export async function findHolder(host: Host): Promise<Holder | undefined> {
  for (const pid of lockingProcesses((await host.readFile('/proc/locks')) ?? '')) {
    for (const descriptor of await host.list(`/proc/${pid}/fd`)) {
      const lock = (await host.stat(`/proc/${pid}/fd/${descriptor}`).catch(() => undefined))?.target;
      if (lock === undefined || !LOCKS.has(lock)) continue;
      const program = ((await host.readFile(`/proc/${pid}/comm`).catch(() => undefined)) ?? 'unknown').trim();
      return { pid, program, lock };
    }
  }
  return undefined;
}

/** A deadline for waiting, in milliseconds since the epoch, with the seconds it was made of. */
export interface Patience {
  readonly until: number;
  readonly seconds: number;
}

/** Waits until nobody else works with packages, and tells who is waited for; rejects with `apt-locked` when it takes too long. */
export async function waitForApt(host: Host, patience: Patience): Promise<void> {
  let told: { readonly pid: number; readonly at: number } | undefined;
  for (;;) {
    const holder = await findHolder(host);
    if (holder === undefined) return;
    const { pid, program, lock } = holder;
    if (Date.now() >= patience.until) {
      throw new DeployError(
        'apt-locked',
        `${program} (pid ${pid}) still holds ${lock} after ${formatSeconds(patience.seconds)}.`,
        {
          hint: `Let it end, or stop it on the host (\`ps -fp ${pid}\` shows it), then run the same command again; \`packages.wait\` in the inventory is how long is waited.`,
        },
      );
    }
    if (told?.pid !== pid || Date.now() - told.at >= REPEAT) {
      const left = formatSeconds(Math.max(0, patience.until - Date.now()) / 1000);
      host.say(`waiting for ${program} (pid ${pid}), which holds the package system; for at most ${left}`);
      told = { pid, at: Date.now() };
    }
    await new Promise((resolve) => setTimeout(resolve, PAUSE));
  }
}
