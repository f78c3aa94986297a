import { DeployError } from '#core/errors';
import type { Event } from '#protocol/event';
import type { HostSession } from '#ssh/operation';

/** Milliseconds between two signs of life to a host that waits for the others. */
const SIGN_OF_LIFE = 5000;

/** What a host is asked so that what it releases goes together with the others. */
export interface Together {
  readonly hold: boolean;
  readonly commandElsewhere?: boolean;
}

/** One host's part in a meeting. */
export interface Attendance {
  /** Takes in what the host tells. */
  hear(event: Event, session: HostSession): void;
  /** The host has come to its end, well or not. */
  end(isWell: boolean): void;
  /** Whether requests go to another release there than before. */
  readonly hasFlipped: boolean;
}

/**
 * Where the hosts of a run meet: those without the release command wait until it has ended on the one that runs it, and
 * all wait for each other before the flip. One that fails, and none flips.
 */
export class Meeting {
  /** The host that runs the release command; undefined where there is none, or nobody to wait for it. */
  readonly commander: string | undefined;
  /** Resolves once all are ready, or one of them has failed. */
  readonly verdict: Promise<'flip' | 'abort'>;
  readonly #commanded: Promise<void>;
  readonly #sessions = new Set<HostSession>();
  #decide: (word: 'flip' | 'abort') => void = () => undefined;
  #endCommand: () => void = () => undefined;
  #awaited: number;
  #isOff = false;

  constructor(hosts: readonly string[], hasCommand: boolean) {
    this.#awaited = hosts.length;
    this.commander = hasCommand && hosts.length > 1 ? hosts[0] : undefined;
    this.verdict = new Promise((resolve) => {
      this.#decide = resolve;
    });
    this.#commanded = new Promise((resolve) => {
      this.#endCommand = resolve;
    });
  }

  /** Calls everything off: before the flip nothing has happened, after it the release is taken back. */
  callOff(): void {
    this.#isOff = true;
    this.#decide('abort');
    for (const session of this.#sessions) this.#say(session, 'abort');
  }

  /** What is asked of a host so that it meets the others. */
  askedOf(host: string): Together {
    const waits = this.commander !== undefined && this.commander !== host;
    return { hold: true, ...(waits ? { commandElsewhere: true } : {}) };
  }

  /** Takes a host in. */
  attend(host: string): Attendance {
    let hasArrived = false;
    let isReady = false;
    let hasFlipped = false;
    let joined: { readonly session: HostSession; readonly timer: NodeJS.Timeout } | undefined;
    const commanded = () => {
      if (host === this.commander) this.#endCommand();
    };
    const arrive = () => {
      commanded();
      if (hasArrived) return;
      hasArrived = true;
      this.#awaited -= 1;
      if (this.#awaited === 0) this.#decide('flip');
    };
    return {
      hear: (event, session) => {
        // What is said before the host has read its request would be taken for it.
        joined ??= { session, timer: this.#join(session) };
        // A host with nothing to release keeps nobody waiting.
        if (event.type === 'plan' && event.steps.every(({ action }) => action !== 'release')) arrive();
        if (event.type === 'release.state' && event.state === 'commanded') commanded();
        if (event.type === 'release.ready') {
          isReady = true;
          arrive();
          void this.verdict.then((word) => this.#say(session, word));
        }
        if (event.type === 'release.flipped') hasFlipped = true;
        if (event.type === 'release.taken-back') {
          hasFlipped = false;
          // What was not good enough for one host is not kept on the others.
          this.callOff();
        }
      },
      end: (isWell) => {
        clearInterval(joined?.timer);
        if (joined !== undefined) this.#sessions.delete(joined.session);
        if (isWell) arrive();
        // One that had nothing to release, or serves it, may fail at something else.
        else if (!hasFlipped && (isReady || !hasArrived)) this.callOff();
      },
      get hasFlipped() {
        return hasFlipped;
      },
    };
  }

  #join(session: HostSession): NodeJS.Timeout {
    this.#sessions.add(session);
    if (this.#isOff) this.#say(session, 'abort');
    void this.#commanded.then(() => this.#say(session, 'start'));
    return setInterval(() => this.#say(session, 'here'), SIGN_OF_LIFE);
  }

  #say(session: HostSession, word: Parameters<HostSession['sayOfRelease']>[0]): void {
    // A host that cannot be told any more has ended, or notices by itself.
    void session.sayOfRelease(word).catch(() => undefined);
  }
}

/** The failures of hosts, those that are only the echo of another host's failure said to be so. */
export function withEchoes<Result extends { readonly host: string; readonly error: DeployError | undefined }>(
  results: readonly Result[],
): readonly Result[] {
  const cause = results.find(({ error }) => error !== undefined && error.code !== 'release-aborted');
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

/** What to tell where some hosts were brought to the release and others were not: they serve different versions. */
export function divergence(
  results: readonly { readonly host: string; readonly changed: boolean; readonly error: DeployError | undefined }[],
): string | undefined {
  const ahead = results.filter(({ changed }) => changed).map(({ host }) => host);
  const behind = results.filter(({ changed, error }) => !changed && error !== undefined).map(({ host }) => host);
  if (ahead.length === 0 || behind.length === 0) return undefined;
  return `requests go to the new release on ${ahead.join(', ')}, and maybe not on ${behind.join(', ')}: run the same command again, which brings all hosts to it`;
}
