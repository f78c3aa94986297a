import { DeployError } from '#core/errors';
import { lastLines } from '#core/run';
import type { Host } from '#resources/resource';

const LOG_LINES = 8;
/** Milliseconds after which a program that cannot start has usually ended (a service of type simple counts as started at once). */
const SETTLE = 300;

/** The port that a program said it could not have, in the words of nginx, Docker, Redis, PostgreSQL, Node, Go and sshd. */
export function takenPort(log: string): number | undefined {
  const line = log.split('\n').findLast((text) => /address (?:is )?already in use|EADDRINUSE/i.test(text));
  if (line === undefined) return undefined;
  const port = /(?:port "?|:{1,3}|\]:)(\d{1,5})\b(?!.*(?:port "?|:{1,3}|\]:)\d{1,5}\b)/i.exec(
    line.replace(/\(\d+: /, '('),
  )?.[1];
  return port === undefined ? undefined : Number(port);
}

/** Who listens on a port, as `nginx (pid 12)`; undefined where that cannot be told. */
export async function listenerOf(host: Host, port: number): Promise<string | undefined> {
  const output = await host.run(['ss', '-H', '-l', '-t', '-u', '-n', '-p', `sport = :${port}`]);
  const [, program, pid] = /users:\(\("([^"]+)",pid=(\d+)/.exec(output.stdout) ?? [];
  return program === undefined ? undefined : `${program} (pid ${pid})`;
}

async function log(host: Host, unit: string, since: number): Promise<string> {
  const output = await host.run([
    ...['journalctl', '--unit', unit, '--since', `@${Math.floor(since / 1000)}`, '--lines', String(LOG_LINES * 3)],
    ...['--no-pager', '--quiet', '--output', 'cat'],
  ]);
  return output.stdout.trim();
}

/** Starts a unit; where it fails, the error has its last log lines, and who has the port that it wanted. */
export async function startUnit(host: Host, unit: string): Promise<void> {
  const since = Date.now();
  // A unit that has failed too often is not even tried, though what it failed of may be mended by now.
  await host.run(['systemctl', 'reset-failed', '--', unit]);
  const output = await host.run(['systemctl', 'start', '--', unit], { timeout: 180 });
  const outcome = await settle(host, unit);
  if (output.exitCode === 0 && outcome === 'started') return;
  if (outcome === 'skipped') {
    throw new DeployError('unit-failed', `${unit} does not start on this host: its own conditions are not met.`, {
      hint: `\`systemctl status ${unit}\` on the host shows which; do not declare the unit for such a host.`,
    });
  }
  const said = await log(host, unit, since);
  const port = takenPort(said);
  const listener = port === undefined ? undefined : await listenerOf(host, port);
  if (port !== undefined && listener !== undefined) {
    throw new DeployError('port-taken', `${unit} did not start: port ${port} is taken by ${listener}.`, {
      hint: `Stop that program on the host (\`ss -ltnp sport = :${port}\` shows it) or choose another port, then run again.`,
    });
  }
  const lines = said === '' ? lastLines(output) : said.split('\n').slice(-LOG_LINES).join('\n');
  throw new DeployError('unit-failed', `${unit} did not start:\n${lines}`, {
    hint: `Mend what its log names (\`journalctl -u ${unit}\` on the host has all of it), then run the same command again.`,
  });
}

async function ask(host: Host, unit: string): Promise<ReadonlyMap<string, string>> {
  const properties = 'ActiveState,SubState,Type,ConditionResult';
  const { stdout } = await host.run(['systemctl', 'show', '--property', properties, '--', unit]);
  return new Map(stdout.split('\n').map((line) => line.split('=', 2) as [string, string]));
}

async function settle(host: Host, unit: string): Promise<'started' | 'failed' | 'skipped'> {
  let state = await ask(host, unit);
  if (['simple', 'exec', 'idle'].includes(state.get('Type') ?? '') && state.get('ActiveState') === 'active') {
    await new Promise((resolve) => setTimeout(resolve, SETTLE));
    state = await ask(host, unit);
  }
  if (state.get('ActiveState') === 'inactive' && state.get('ConditionResult') === 'no') return 'skipped';
  return state.get('ActiveState') === 'failed' || state.get('SubState') === 'auto-restart' ? 'failed' : 'started';
}
