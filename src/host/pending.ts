import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { DeployError } from '#core/errors';
import { lastLines } from '#core/run';
import type { Trigger } from '#protocol/plan';
import type { Host } from '#resources/resource';
import { listIfThere, replaceFile } from './files.ts';
import { PATHS } from './paths.ts';

// A restart does all that a reload does, so one mark per unit is enough to run, and restart wins.
function markOf({ unit, action }: Trigger): string {
  return `${action}@${unit}`;
}

/** Remembers on disk that a unit must be reloaded or restarted, before what it reads is changed. */
export async function mark(triggers: readonly Trigger[]): Promise<void> {
  for (const trigger of triggers) {
    await replaceFile(join(PATHS.pending, markOf(trigger)), '', { mode: 0o600, uid: 0, gid: 0 });
  }
}

/** What still has to be reloaded or restarted: one trigger a unit, restart before reload. */
export async function pending(): Promise<readonly Trigger[]> {
  const units = new Map<string, Trigger>();
  for (const name of await listIfThere(PATHS.pending)) {
    const at = name.indexOf('@');
    const action = name.slice(0, at);
    const unit = name.slice(at + 1);
    if (action === 'restart' || (action === 'reload' && !units.has(unit))) units.set(unit, { unit, action });
  }
  return [...units.values()];
}

// systemctl(1): the unit is not there, as before its package is installed.
const NOT_INSTALLED = 5;

/** Reloads or restarts a unit and clears its marks; a unit that is not running, or not there, is left as it is. */
export async function fire(host: Host, trigger: Trigger): Promise<void> {
  const verb = trigger.action === 'restart' ? 'try-restart' : 'try-reload-or-restart';
  // What is asked for is no crash loop: systemd would refuse the next start after a few in a short time.
  if (trigger.action === 'restart') await host.run(['systemctl', 'reset-failed', trigger.unit]);
  const output = await host.run(['systemctl', verb, trigger.unit], { timeout: 120 });
  if (output.exitCode !== 0 && output.exitCode !== NOT_INSTALLED) {
    const log = await host.run(['journalctl', '--unit', trigger.unit, '--lines', '8', '--no-pager', '--output', 'cat']);
    throw new DeployError(
      'unit-failed',
      `${trigger.unit} did not ${trigger.action}: ${lastLines(output, 2)}\n${lastLines(log, 8)}`,
      { hint: `Look at \`systemctl status ${trigger.unit}\` on the host; the next run tries again.` },
    );
  }
  await rm(join(PATHS.pending, markOf({ ...trigger, action: 'reload' })), { force: true });
  await rm(join(PATHS.pending, markOf({ ...trigger, action: 'restart' })), { force: true });
}
