import { asDeployError, DeployError } from '#core/errors';
import { commandLine } from '#core/quote';
import { type Event, parseEvent } from '#protocol/event';
import type { ProofRefusal, Request, WaysAnswer } from '#protocol/plan';
import type { ReleaseWord } from '#protocol/release';
import type { Connection } from '#ssh/connection';
import { asRoot, type Bundle, bringRunner, sudoProblem } from '#ssh/runner';
import type { Session } from '#ssh/session';

export type Hello = Extract<Event, { type: 'hello' }>;

/** A runner that has said hello and waits for its one request. */
export interface HostSession {
  readonly hello: Hello;
  /** Sends the request and yields every event up to the last; rejects where the runner ends without a last word. */
  ask(request: Request): AsyncGenerator<Event>;
  /** Tells the runner over which addresses a login works now. */
  tellWays(ways: WaysAnswer): Promise<void>;
  /** Tells the runner that the login it waits for has failed, so that it undoes the change at once. */
  refuseProof(refusal: ProofRefusal): Promise<void>;
  /** Tells a release that holds what is to become of it. */
  sayOfRelease(word: ReleaseWord['release']): Promise<void>;
  close(): void;
}

interface Absent {
  readonly machine: string;
}

/** Starts the runner where it is, and otherwise says what kind of machine lacks it: one round trip either way. */
export function startCommand(user: string, bundle: Bundle): string {
  const runner = `${bundle.folder}/slipway-host`;
  return `if [ -x ${runner} ]; then ${asRoot(user, [runner, 'session'])}; else echo "absent $(uname -m)"; fi`;
}

async function firstLine(
  connection: Connection,
  session: Session,
  lines: AsyncIterator<string>,
): Promise<Hello | Absent> {
  const { value, done } = await lines.next();
  if (done === true) {
    await session.closed;
    throw (
      sudoProblem(connection, session.stderr) ??
      new DeployError('runner-failed', `The runner did not start: ${session.stderr.trim() || 'it said nothing'}.`, {
        hint: 'Look at /opt/slipway on the host; removing that folder makes the next run bring the runner anew.',
        host: connection.target.name,
      })
    );
  }
  const machine = /^absent (\S+)$/.exec(value)?.[1];
  if (machine !== undefined) return { machine };
  const event = parseEvent(value);
  if (event?.type === 'hello') return event;
  throw new DeployError('runner-failed', `The runner said something unexpected: ${value.slice(0, 200)}`, {
    hint: 'A login script that prints something disturbs it: check ~/.bashrc and /etc/profile on the host.',
    host: connection.target.name,
  });
}

/** Opens a session with a host's runner; the runner is brought first where it is not there yet. */
export async function openHost(
  connection: Connection,
  bundle: Bundle,
  say: (message: string) => void,
): Promise<HostSession> {
  for (let attempt = 0; ; attempt += 1) {
    const session = await connection.open(startCommand(connection.user, bundle));
    const lines = session.lines()[Symbol.asyncIterator]();
    const first = await firstLine(connection, session, lines);
    if (!('machine' in first)) return hostSession(connection, session, lines, first);
    if (attempt > 0) {
      throw new DeployError('runner-failed', 'The runner was brought and is still not there.', {
        hint: 'Check on the host that /opt is not mounted noexec.',
        host: connection.target.name,
      });
    }
    await bringRunner(connection, bundle, first.machine, say);
  }
}

function hostSession(
  connection: Connection,
  session: Session,
  lines: AsyncIterator<string>,
  hello: Hello,
): HostSession {
  const host = connection.target.name;
  return {
    hello,
    async *ask(request) {
      await session.write(`${JSON.stringify(request)}\n`);
      for (;;) {
        const { value, done } = await lines.next();
        if (done === true) break;
        const event = parseEvent(value);
        if (event === undefined) continue;
        yield { ...event, host };
        if (event.type === 'operation.finished' || event.type === 'operation.failed') return;
      }
      const { signal } = await session.closed;
      throw new DeployError(
        'operation-died',
        `The runner on ${host} ended without a last word${signal === undefined ? '' : ` (${signal})`}: ${session.stderr.trim() || 'it was killed'}.`,
        { hint: 'Run the same command again; it goes on where this one stopped.', host },
      );
    },
    tellWays: (ways) => session.write(`${JSON.stringify(ways)}\n`),
    refuseProof: (refusal) => session.write(`${JSON.stringify(refusal)}\n`),
    sayOfRelease: (word) => session.write(`${JSON.stringify({ release: word } satisfies ReleaseWord)}\n`),
    close: () => session.end(),
  };
}

/** Seconds in which an sshd that was just told to read its configuration again may refuse connections. */
const RELOADING = 6;

/**
 * A fresh connection, tried again while sshd refuses it: a reload closes its sockets for a moment before it opens them
 * again.
 */
export async function loginAfresh(open: () => Promise<Connection>): Promise<Connection> {
  const until = Date.now() + RELOADING * 1000;
  for (;;) {
    try {
      return await open();
    } catch (error) {
      if (asDeployError(error).code !== 'host-unreachable' || Date.now() >= until) throw error;
      await new Promise((resolve) => setTimeout(resolve, 250));
    }
  }
}

/** A proof that a guard waits for. */
export interface Proof {
  readonly guard: string;
  readonly family: 4 | 6;
  /** The user who has to become root. */
  readonly user: string;
  /** Whether the connection is a login made for this, or one that was open before the change. */
  readonly through: 'fresh' | 'open';
}

/** The command line that has a user become root, from the connection of that user or of another who may be anybody. */
export function proofCommand(connected: string, user: string, argv: readonly string[]): string {
  const sudo = ['sudo', '-n'];
  const asUser = user === 'root' ? [] : sudo;
  const become =
    connected === user
      ? []
      : [...(connected === 'root' ? [] : sudo), ...(user === 'root' ? [] : ['runuser', '-u', user, '--'])];
  return commandLine([...become, ...asUser, ...argv]);
}

/** Proves access through a connection: that the user becomes root and leaves the guard its mark. */
export async function prove(connection: Connection, bundle: Bundle, proof: Proof): Promise<void> {
  const { guard, family, user, through } = proof;
  const argv = [`${bundle.folder}/slipway-host`, 'prove', guard, String(family), through];
  const output = await connection.exec(proofCommand(connection.user, user, argv), { timeout: 20 });
  if (output.code === 0) return;
  const said = output.stderr.trim() || output.stdout.trim() || `the login ended with exit ${output.code}`;
  throw (
    sudoProblem(connection, output.stderr) ??
    new DeployError('guard-undone', said, { hint: 'Run the same command again.', host: connection.target.name })
  );
}
