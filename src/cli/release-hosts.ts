import { setTimeout as sleep } from 'node:timers/promises';
import { visit } from '#cli/ask';
import { Meeting, type Together, withEchoes } from '#cli/meeting';
import { type Audience, failureOf } from '#cli/operate';
import type { Shipment } from '#cli/shipment';
import { ago } from '#cli/status-text';
import { asDeployError, type DeployError } from '#core/errors';
import type { Environment, Host } from '#inventory/environment';
import { clockProblem } from '#playbook/preflight';
import type { Event } from '#protocol/event';
import type { Facts } from '#protocol/facts';
import type { Request } from '#protocol/plan';
import type { Canary } from '#protocol/release';
import { type HostSession, openHost } from '#ssh/operation';

/** Milliseconds between looks at a host that another operation holds. */
const LOOK = 1000;

/** How a release ended on one host. */
export interface Released {
  readonly host: string;
  /** Whether requests go to another release than before. */
  readonly changed: boolean;
  /** How far it has come, where it has stopped on its way to all clients. */
  readonly paused?: Canary | undefined;
  readonly error: DeployError | undefined;
}

export interface ReleaseHostsOptions {
  /** What is asked of a host. */
  readonly request: (host: Host, facts: Facts, together: Together) => Promise<Request>;
  /** What is sent to each host before it is asked. */
  readonly shipment?: Shipment;
  /** What is begun while the hosts start their runners. */
  readonly meanwhile?: () => void;
  /** Whether one of the hosts runs a release command. */
  readonly hasCommand: boolean;
  /** Whether all hosts wait for each other, or for `flipping`, before the flip. */
  readonly hold: boolean;
  /** Whether to wait for the end of another operation. */
  readonly wait: boolean;
  /** Called when every host is ready, right before the flip. */
  readonly flipping?: () => void;
  /** Resolves with the reason where the release is to be taken back. */
  readonly alarm?: Promise<string>;
  readonly audience: Audience;
}

/** Another operation as a host tells of it in its hello, with how long it has been at work instead of since when. */
function atWork(busy: string): string {
  return busy.replace(/ since (\S+)$/, (_, since: string) => `, at work for ${ago(Date.now() - Date.parse(since))}`);
}

const progressOf = (host: Host, message: string): Event => ({
  type: 'progress',
  message,
  at: new Date().toISOString(),
  host: host.name,
});

const warningOf = (host: Host, { message, hint }: DeployError): Event => ({
  type: 'warning',
  message,
  hint,
  at: new Date().toISOString(),
  host: host.name,
});

/** Waits until nobody is at work on a host any more, telling who is. */
async function waitForOthers(
  there: Awaited<ReturnType<typeof visit>>,
  host: Host,
  audience: Audience,
): Promise<HostSession> {
  let { session } = there;
  let told = '';
  for (;;) {
    const { busy } = session.hello;
    if (busy === undefined) return session;
    if (told !== busy) {
      told = busy;
      audience.event(progressOf(host, `waiting for \`${atWork(busy)}\``));
    }
    audience.progress(host.name, `waiting for \`${atWork(busy)}\``);
    session.close();
    await sleep(LOOK);
    session = await openHost(there.connection, there.bundle, () => undefined);
  }
}

async function releaseOn(
  environment: Environment,
  host: Host,
  meeting: Meeting,
  options: ReleaseHostsOptions,
): Promise<Released> {
  const { audience, hold } = options;
  const attendance = meeting.attend(host.name);
  let paused: Canary | undefined;
  const ended = (error?: DeployError): Released => {
    attendance.end(error === undefined);
    return { host: host.name, changed: attendance.hasFlipped, paused, error };
  };
  try {
    const say = (message: string) => audience.progress(host.name, message);
    await using there = await visit(environment, host, say, options.meanwhile);
    const session = options.wait ? await waitForOthers(there, host, audience) : there.session;
    audience.event({ ...session.hello, host: host.name });
    const clock = clockProblem(host.name, session.hello.facts, Date.now());
    if (clock !== undefined) audience.event(warningOf(host, clock));
    await options.shipment?.bring(there, say, (message) => audience.event(progressOf(host, message)));
    const together = hold ? meeting.askedOf(host.name) : { hold };
    for await (const event of session.ask(await options.request(host, session.hello.facts, together))) {
      attendance.hear(event, session);
      if (event.type === 'release.paused') paused = event.canary;
      if (event.type === 'operation.failed') return ended(failureOf(event, host.name));
      audience.event(event);
    }
    return ended();
  } catch (thrown) {
    return ended(asDeployError(thrown).at({ host: host.name }));
  }
}

/**
 * Brings a release live on several hosts at once: all stage it and prove it, then all flip. Where one fails before the
 * flip none flips; where it is taken back on one, it is taken back on all that can still be reached.
 */
export async function releaseHosts(
  environment: Environment,
  hosts: readonly Host[],
  options: ReleaseHostsOptions,
): Promise<readonly Released[]> {
  const names = hosts.map(({ name }) => name);
  const meeting = new Meeting(names, options.hasCommand);
  void meeting.verdict.then((word) => {
    if (word === 'flip') options.flipping?.();
  });
  void options.alarm?.then(() => meeting.callOff());
  return withEchoes(await Promise.all(hosts.map((host) => releaseOn(environment, host, meeting, options))));
}
