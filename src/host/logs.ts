import { setTimeout as sleep } from 'node:timers/promises';
import type { EventBody } from '#protocol/event';
import type { RunningRequest } from '#protocol/running';
import type { Host } from '#resources/resource';
import { type AppContainer, missing, servingContainers } from './app-containers.ts';
import { apart, dockerOutput } from './docker-stream.ts';

type LogsRequest = Extract<RunningRequest, { verb: 'logs' }>;
type LogLine = Extract<EventBody, { type: 'log.line' }>;

/** Lines of each container that are told where neither a time nor a number was asked for. */
const LINES = 100;

/** Milliseconds between looks for containers that have come meanwhile. */
const LOOK = 1000;

interface Reading {
  readonly follow: boolean;
  /** Seconds since the epoch, with nine decimals. */
  readonly since?: string | undefined;
  readonly tail?: number | undefined;
}

async function* linesOf(
  host: Host,
  container: AppContainer,
  reading: Reading,
  signal: AbortSignal,
): AsyncGenerator<LogLine> {
  const details = await host.docker<{ Config: { Tty: boolean } }>(`/containers/${container.id}/json`);
  if (details === undefined) return;
  const query = new URLSearchParams({
    stdout: '1',
    stderr: '1',
    timestamps: '1',
    ...(reading.follow ? { follow: '1' } : {}),
    ...(reading.since === undefined ? {} : { since: reading.since }),
    ...(reading.tail === undefined ? {} : { tail: String(reading.tail) }),
  });
  const output = await dockerOutput(`/containers/${container.id}/logs?${query}`, signal);
  const rest = { stdout: '', stderr: '' };
  const decoders = { stdout: new TextDecoder(), stderr: new TextDecoder() };
  for await (const { stream, data } of apart(output, details.Config.Tty)) {
    const lines = `${rest[stream]}${decoders[stream].decode(data, { stream: true })}`.split('\n');
    rest[stream] = lines.pop() ?? '';
    for (const line of lines) {
      const blank = line.indexOf(' ');
      const [written, text] = blank < 0 ? [line, ''] : [line.slice(0, blank), line.slice(blank + 1)];
      yield { type: 'log.line', container: container.name, stream, written, text: text.replace(/\r$/, '') };
    }
  }
}

/** Several logs as one, in the order of their times. */
async function* merged(logs: readonly AsyncGenerator<LogLine>[]): AsyncGenerator<LogLine> {
  const heads = await Promise.all(logs.map(async (log) => ({ log, next: await log.next() })));
  for (;;) {
    const waiting = heads.filter(({ next }) => next.done !== true);
    const first = waiting.reduce<(typeof waiting)[number] | undefined>(
      (best, head) => (best === undefined || head.next.value.written < best.next.value.written ? head : best),
      undefined,
    );
    if (first === undefined) return;
    yield first.next.value;
    first.next = await first.log.next();
  }
}

/** Docker's own way to write a moment down, from the time that stands before a line. */
function moment(written: string): string {
  const decimals = /\.(\d+)/.exec(written)?.[1] ?? '';
  return `${Math.floor(Date.parse(written) / 1000)}.${decimals.padEnd(9, '0')}`;
}

/**
 * Tells the logs of a service or an accessory, of all services where none is named: those of the live slot. Followed,
 * it goes on with the containers that take over, until the signal says that nobody listens any more.
 */
export async function tellLogs(
  host: Host,
  { app, target, follow, since, lines }: LogsRequest,
  tell: (line: LogLine) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const first = await servingContainers(host, app, target);
  if (first.length === 0 && target !== undefined) throw await missing(host, app, target, first);
  const from = since === undefined ? undefined : (Date.now() / 1000 - since).toFixed(9);
  const tail = lines ?? (since === undefined ? LINES : undefined);
  const last = new Map<string, string>(first.map(({ id }) => [id, '']));
  const history = first.map((container) => linesOf(host, container, { follow: false, since: from, tail }, signal));
  const ids = new Map(first.map(({ name, id }) => [name, id]));
  for await (const line of merged(history)) {
    if (signal.aborted) return;
    last.set(ids.get(line.container) ?? '', line.written);
    await tell(line);
  }
  if (!follow) return;

  const followed = new Set<string>();
  const begin = new Date().toISOString();
  const go = async (container: AppContainer): Promise<void> => {
    followed.add(container.id);
    const told = last.get(container.id);
    // One that was silent so far is told from the moment we began to listen, one that has come since then from its start.
    const seen = told === '' ? begin : told;
    const reading = { follow: true, ...(seen === undefined ? {} : { since: moment(seen) }) };
    try {
      for await (const line of linesOf(host, container, reading, signal)) {
        if (signal.aborted) return;
        if (seen !== undefined && line.written <= seen) continue;
        last.set(container.id, line.written);
        await tell(line);
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      followed.delete(container.id);
    }
  };
  const failures: unknown[] = [];
  let containers = first;
  while (!signal.aborted) {
    for (const container of containers) {
      if (container.state === 'running' && !followed.has(container.id)) {
        go(container).catch((error) => failures.push(error));
      }
    }
    await sleep(LOOK, undefined, { signal }).catch(() => undefined);
    if (failures.length > 0) throw failures[0];
    if (!signal.aborted) containers = await servingContainers(host, app, target);
  }
}
