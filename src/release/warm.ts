import { setTimeout as sleep } from 'node:timers/promises';
import { RUNNER } from '#core/runner';
import type { Host } from '#resources/resource';
import { inspectAll, NO_RESTART, nameOf, setRestart, stopAll } from './containers.ts';
import { closeStaggered } from './drain.ts';
import { setWarm } from './flags.ts';
import { readRecord } from './record.ts';
import { type Occupant, otherSlot, projectOf, readSlots, type Slot, writeOccupants } from './slots.ts';

/** Seconds a container gets after SIGTERM where it does not say itself: time to close what is open one by one. */
const GRACE = 15;

/** Milliseconds in which an app that was told to stop can close its WebSockets itself, as only it can: with a close frame. */
const FAREWELL = 2000;

const timerOf = (app: string): string => `slipway-warm-${app}`;

/** Tells systemd to end a slot's time by itself: a host that nobody deploys to must not run two copies for ever. */
async function setTimer(host: Host, app: string, seconds: number): Promise<void> {
  const unit = timerOf(app);
  await clearTimer(host, app);
  const output = await host.run([
    'systemd-run',
    '--quiet',
    '--collect',
    `--unit=${unit}`,
    `--on-active=${Math.max(1, Math.ceil(seconds))}`,
    '--timer-property=AccuracySec=1s',
    // 5: an operation is at work on the host.
    '--property=RestartForceExitStatus=5',
    '--property=RestartSec=30s',
    RUNNER,
    'settle',
  ]);
  if (output.exitCode === 0) return;
  host.warn(`The old slot of ${app} runs on until the next operation: systemd-run failed: ${output.stderr.trim()}`);
}

/** Takes back what `setTimer` has set. */
export async function clearTimer(host: Host, app: string): Promise<void> {
  await host.run(['systemctl', 'stop', `${timerOf(app)}.timer`]);
}

function unwarmed({ warmUntil: _, restart: __, ...occupant }: Occupant): Occupant {
  return occupant;
}

/** Keeps a drained slot running for a rollback, for so many seconds; zero stops it at once. */
export async function keepWarm(host: Host, app: string, slot: Slot, seconds: number): Promise<void> {
  const occupants = await readSlots(app);
  const occupant = occupants[slot];
  if (occupant === undefined || occupant.containers.length === 0) return;
  const warmUntil = new Date(Date.now() + seconds * 1000).toISOString();
  const containers = await inspectAll(host, projectOf(app, slot));
  // Where a killed run has come this far, what is found now is no longer what was declared.
  const found = Object.fromEntries(containers.map((one) => [nameOf(one), one.HostConfig.RestartPolicy]));
  const { restart = found } = occupant;
  const serving = otherSlot(slot);
  const served = occupants[serving];
  await writeOccupants(app, {
    ...occupants,
    [slot]: { ...occupant, warmUntil, restart },
    // It may have been kept warm itself until a moment ago.
    [serving]: served === undefined ? undefined : unwarmed(served),
  });
  await Promise.all(containers.map(({ Id }) => setRestart(host, Id, NO_RESTART)));
  if (seconds > 0) return setTimer(host, app, seconds);
  await cool(host, app, slot, occupant);
}

/** Lets Docker restart the containers of a warm slot as was declared, before it serves again. */
export async function warmUp(host: Host, app: string, slot: Slot): Promise<void> {
  const { restart = {} } = (await readSlots(app))[slot] ?? {};
  await Promise.all(Object.entries(restart).map(([name, policy]) => setRestart(host, name, policy)));
}

/** Notes that a slot's containers were stopped. */
export async function leaveCold(app: string, slot: Slot): Promise<void> {
  const occupants = await readSlots(app);
  const there = occupants[slot];
  const cold = there === undefined ? undefined : { ...unwarmed(there), containers: [] };
  await writeOccupants(app, { ...occupants, [slot]: cold });
}

async function cool(host: Host, app: string, slot: Slot, { release }: Occupant): Promise<void> {
  const gates = (await readRecord(app, release))?.props.gates ?? [];
  const addresses = gates.flatMap((gate) => gate.addresses[slot]);
  await setWarm(app, false);
  const stopped = stopAll(host, projectOf(app, slot), GRACE);
  await Promise.all([stopped, sleep(FAREWELL).then(() => closeStaggered(host, addresses))]);
  await leaveCold(app, slot);
}

/** Stops the slot that was kept warm, where its time is over. */
export async function coolWhereDue(host: Host, app: string): Promise<void> {
  const slots = await readSlots(app);
  if (slots.live === undefined) return;
  const slot = otherSlot(slots.live);
  const occupant = slots[slot];
  if (occupant?.warmUntil === undefined || Date.parse(occupant.warmUntil) > Date.now()) return;
  await cool(host, app, slot, occupant);
}
