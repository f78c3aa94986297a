import { RUNNER } from '#core/runner';
import type { Host } from '#resources/resource';

/** Seconds from one look to the next. */
const PERIOD = 30;

const UNITS = '/etc/systemd/system';
const ATTRIBUTES = { mode: '0644', owner: 'root', group: 'root' };

const unitOf = (app: string): string => `slipway-canary-${app}`;

const service = (app: string): string => `# Written by Slipway for as long as ${app} has a canary.
[Unit]
Description=Look after the canary of ${app}
# Before Docker has started what was running, nothing can be said of it.
After=docker.service

[Service]
Type=oneshot
ExecStart=${RUNNER} settle
# An operation is at work on the host, and looks after it itself.
SuccessExitStatus=5
`;

const timer = (app: string): string => `# Written by Slipway for as long as ${app} has a canary.
[Unit]
Description=Look after the canary of ${app}

[Timer]
OnActiveSec=${PERIOD}s
OnUnitInactiveSec=${PERIOD}s
AccuracySec=1s

[Install]
WantedBy=timers.target
`;

/**
 * Has the host look after an app's canary while no operation does: whoever began it may be gone, be killed, or have
 * paused it for days. It comes back at boot.
 */
export async function startOverseer(host: Host, app: string): Promise<void> {
  const unit = unitOf(app);
  await host.writeFile(`${UNITS}/${unit}.service`, service(app), ATTRIBUTES);
  await host.writeFile(`${UNITS}/${unit}.timer`, timer(app), ATTRIBUTES);
  await host.must(['systemctl', 'daemon-reload']);
  await host.must(['systemctl', 'enable', '--quiet', '--now', `${unit}.timer`]);
}

/** Takes back what `startOverseer` has set up, where it has. */
export async function stopOverseer(host: Host, app: string): Promise<void> {
  const unit = unitOf(app);
  if ((await host.stat(`${UNITS}/${unit}.service`)) === undefined) return;
  await host.run(['systemctl', 'disable', '--quiet', '--now', `${unit}.timer`]);
  await host.removeFile(`${UNITS}/${unit}.timer`);
  await host.removeFile(`${UNITS}/${unit}.service`);
  await host.must(['systemctl', 'daemon-reload']);
}
