import { lstat, mkdir, readFile, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { RUNNER } from '#core/runner';
import type { Host } from '#resources/resource';
import { replaceText, syncFolder } from './durable.ts';

const UNITS = '/etc/systemd/system';
const WANTED = join(UNITS, 'multi-user.target.wants');
const LOCK = '/run/slipway/operation.lock';

/** Tells the runner that the unit has started it, by the app. */
const RESCUED = 'SLIPWAY_RESCUED';

const unitOf = (app: string): string => `slipway-rescue-${app}.service`;
const linkOf = (app: string): string => join(WANTED, unitOf(app));

// Whoever is at work holds the lock by an open file, so the kernel gives it away in the moment they end, however they
// end. Where they had come through, they have taken the link away. At boot nobody holds it.
function unitText(app: string): string {
  const script = 'flock "$$1" true; [ ! -L "$$2" ] || exec "$$3" settle';
  return `# Written by Slipway.
[Unit]
Description=Ends what holds requests to ${app}, should its release be interrupted
After=docker.service nginx.service
StartLimitIntervalSec=0

[Service]
Environment=${RESCUED}=${app}
ExecStart=/bin/sh -c '${script}' rescue ${LOCK} ${linkOf(app)} ${RUNNER}
Restart=on-failure
RestartSec=1s
`;
}

/**
 * Sees to it that the host ends an interrupted release of an app by itself: as soon as the operation that is under way
 * has ended without `disarm`, or after a reboot. It tries until it succeeds.
 */
export async function arm(host: Pick<Host, 'must'>, app: string): Promise<void> {
  const path = join(UNITS, unitOf(app));
  const text = unitText(app);
  const there = await readFile(path, 'utf8').catch(() => undefined);
  if (there !== text) {
    await replaceText(path, text, 0o644);
    if (there !== undefined) await host.must(['systemctl', 'daemon-reload']);
  }
  await mkdir(WANTED, { recursive: true, mode: 0o755 });
  if (!(await isArmed(app))) await symlink(path, linkOf(app));
  await syncFolder(WANTED);
  // Where this is the unit at work, systemd starts it again by itself should it be killed.
  if (process.env[RESCUED] === app) return;
  // Not `start`: the one of an earlier release may be about to end.
  await host.must(['systemctl', 'restart', '--no-block', unitOf(app)]);
}

/** Whether the host would end an interrupted release of an app by itself. */
export async function isArmed(app: string): Promise<boolean> {
  return lstat(linkOf(app)).then(
    () => true,
    () => false,
  );
}

/** Tells the host that nothing is left to be ended. It may be told from within the very unit, which is thus not stopped. */
export async function disarm(app: string): Promise<void> {
  await rm(linkOf(app), { force: true });
}

/** Forgets the unit of an app that is taken off the host. */
export async function forgetRescue(app: string): Promise<void> {
  await disarm(app);
  await rm(join(UNITS, unitOf(app)), { force: true });
}
