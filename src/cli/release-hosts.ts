import { setTimeout as sleep } from 'node:timers/promises';
import { visit } from '#cli/ask';
import { type Audience, failureOf, loadPlaybooks } from '#cli/operate';
import { ago } from '#cli/status-text';
import { asDeployError, DeployError } from '#core/errors';
import type { Environment, Host } from '#inventory/environment';
import type { Facts } from '#protocol/facts';
import type { Request } from '#protocol/plan';
import { type HostSession, openHost } from '#ssh/operation';

/** Milliseconds between looks at a host that another operation holds. */
const LOOK = 1000;

/** How a release ended on one host. */
export interface Released {
  readonly host: string;
  /** Whether requests go to another release than before. */
  readonly changed: boolean;
  readonly error: DeployError | undefined;
}

export interface ReleaseHostsOptions {
  /** What is asked of a host. */
  readonly request: (host: Host, facts: Facts, hold: boolean) => Promise<Request>;
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

type Word = 'flip' | 'abort';

/** Where all hosts meet before the flip: one that fails, and none flips. */
class Meeting {
  readonly verdict: Promise<Word>;
  #awaited: number;
  #failed = false;
  #resolve: (word: Word) => void = () => undefined;
  readonly #parties = new Set<HostSession>();

  constructor(hosts: number) {
    this.#awaited = hosts;
    this.verdict = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  /** A host is ready, or has nothing to do, or has failed. */
  arrive(isWell: boolean): void {
    this.#awaited -= 1;
    if (!isWell) this.#failed = true;
    if (this.#awaited === 0 || this.#failed) this.#resolve(this.#failed ? 'abort' : 'flip');
  }

  join(session: HostSession): void {
    this.#parties.add(session);
  }

  leave(session: HostSession): void {
    this.#parties.delete(session);
  }

  /** Calls everything off: before the flip nothing has happened, after it the release is taken back. */
  callOff(): void {
    this.#failed = true;
    this.#resolve('abort');
    for (const session of this.#parties) void session.sayOfRelease('abort').catch(() => undefined);
  }
}

/** Another operation as a host tells of it in its hello, with how long it has been at work instead of since when. */
function atWork(busy: string): string {
  return busy.replace(/ since (\S+)$/, (_, since: string) => `, at work for ${ago(Date.now() - Date.parse(since))}`);
}

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
      const at = new Date().toISOString();
      audience.event({ type: 'progress', message: `waiting for \`${atWork(busy)}\``, at, host: host.name });
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
  let hasArrived = false;
  let isReady = false;
  let changed = false;
  const arrive = (isWell: boolean) => {
    if (!hasArrived) meeting.arrive(isWell);
    hasArrived = true;
  };
  try {
    const say = (message: string) => audience.progress(host.name, message);
    await using there = await visit(environment, host, say, loadPlaybooks);
    const session = options.wait ? await waitForOthers(there, host, audience) : there.session;
    audience.event({ ...session.hello, host: host.name });
    const request = await options.request(host, session.hello.facts, hold);
    meeting.join(session);
    try {
      for await (const event of session.ask(request)) {
        if (event.type === 'release.ready') {
          isReady = true;
          arrive(true);
          void meeting.verdict.then((word) => session.sayOfRelease(word)).catch(() => undefined);
        }
        if (event.type === 'release.flipped') changed = true;
        if (event.type === 'release.taken-back') {
          changed = false;
          // What was not good enough for one host is not kept on the others.
          meeting.callOff();
        }
        if (event.type === 'operation.failed') {
          arrive(false);
          throw failureOf(event, host.name);
        }
        audience.event(event);
      }
    } finally {
      meeting.leave(session);
    }
    arrive(true);
    return { host: host.name, changed, error: undefined };
  } catch (thrown) {
    const error = asDeployError(thrown).at({ host: host.name });
    if (isReady && !changed) meeting.callOff();
    arrive(false);
    return { host: host.name, changed, error };
  }
}

/** A failure that is only the echo of another host's. */
function echoes(results: readonly Released[]): readonly Released[] {
  const isOwn = ({ error }: Released) => error !== undefined && error.code !== 'release-aborted';
  const cause = results.find(isOwn);
  if (cause === undefined) return results;
  return results.map((result) =>
    result.error?.code === 'release-aborted'
      ? {
          ...result,
          error: new DeployError('other-host-failed', `called off, since ${cause.host} failed; it serves as before.`, {
            hint: `Mend what ${cause.host} says, then run the same command again.`,
            host: result.host,
          }),
        }
      : result,
  );
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
  const meeting = new Meeting(hosts.length);
  void meeting.verdict.then((word) => {
    if (word === 'flip') options.flipping?.();
  });
  void options.alarm?.then(() => meeting.callOff());
  return echoes(await Promise.all(hosts.map((host) => releaseOn(environment, host, meeting, options))));
}
