import { setTimeout as sleep } from 'node:timers/promises';
import { DeployError } from '#core/errors';
import { lastLines } from '#core/run';
import type { Host } from '#resources/resource';

const UNIT = 'nginx.service';

/** Seconds nginx has to start new workers. */
const LIMIT = 10;

/** Milliseconds between looks. */
const PAUSE = 20;

/** The workers that accept connections; undefined where the kernel does not tell. */
async function accepting(host: Host, master: string): Promise<readonly string[] | undefined> {
  const children = await host.readFile(`/proc/${master}/task/${master}/children`).catch(() => undefined);
  if (children === undefined) return undefined;
  const found = await Promise.all(
    children.split(' ').map(async (pid) => {
      if (pid === '') return [];
      const title = await host.readFile(`/proc/${pid}/cmdline`).catch(() => undefined);
      return title?.startsWith('nginx: worker process') === true && !title.includes('shutting down') ? [pid] : [];
    }),
  );
  return found.flat();
}

/**
 * Has nginx read its configuration anew, and waits until no worker of before accepts connections: `systemctl reload`
 * ends before nginx has even looked. One that does not run reads it when it is started.
 */
export async function reloadNginx(host: Host): Promise<void> {
  const shown = await host.run(['systemctl', 'show', '--property=MainPID', '--value', UNIT]);
  const master = shown.stdout.trim();
  if (!/^[1-9]\d*$/.test(master)) return;
  const before = await accepting(host, master);
  const output = await host.run(['systemctl', 'reload', UNIT]);
  const deadline = performance.now() + LIMIT * 1000;
  while (output.exitCode === 0 && performance.now() < deadline) {
    const now = await accepting(host, master);
    if (now === undefined || (now.length > 0 && !now.some((pid) => before?.includes(pid)))) return;
    await sleep(PAUSE);
  }
  const log = await host.run(['journalctl', '--unit', UNIT, '--lines', '5', '--no-pager', '--output', 'cat']);
  throw new DeployError('unit-failed', `nginx did not take its new configuration:\n${lastLines(log, 5)}`, {
    hint: 'Traffic was not touched. `nginx -t` on the host says more; the next run tries again.',
  });
}
