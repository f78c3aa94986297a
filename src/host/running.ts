import type { EventBody } from '#protocol/event';
import type { Facts } from '#protocol/facts';
import type { RunningRequest } from '#protocol/running';
import { createHost } from './machine.ts';

type Tell = (line: string) => void;

/** Says something to the laptop and waits until it has gone out: a log may be longer than memory. */
async function say(tell: Tell, body: EventBody): Promise<void> {
  tell(`${JSON.stringify({ at: new Date().toISOString(), ...body })}\n`);
  if (process.stdout.writableNeedDrain) {
    await new Promise<void>((resolve) => process.stdout.once('drain', resolve).once('close', resolve));
  }
}

/** Tells when the laptop has left: nobody listens any more. */
function listening(): AbortSignal {
  const gone = new AbortController();
  for (const event of ['end', 'close'] as const) process.stdin.once(event, () => gone.abort());
  process.stdout.once('error', () => gone.abort());
  if (process.stdin.readableEnded || process.stdin.destroyed) gone.abort();
  return gone.signal;
}

/** Serves a request about an app that runs. None of them takes the operation's lock: they are for when it is held. */
export async function answerRunning(request: RunningRequest, facts: Facts, tell: Tell): Promise<number> {
  const started = performance.now();
  let changed = 0;
  const host = createHost(facts, {
    say: (message) => void say(tell, { type: 'progress', message }),
    warn: (message, hint) => void say(tell, { type: 'warning', message, ...(hint === undefined ? {} : { hint }) }),
  });
  switch (request.verb) {
    case 'status': {
      const { readStatus } = await import('#host/status');
      await say(tell, await readStatus(host, request.app));
      break;
    }
    case 'logs': {
      const { tellLogs } = await import('#host/logs');
      await tellLogs(host, request, (line) => say(tell, line), listening());
      break;
    }
    case 'maintenance': {
      const { app, by, on, allow } = request;
      const { beginMaintenance, endMaintenance, readMaintenance } = await import('#host/maintenance');
      const before = await readMaintenance(app);
      if (on) await beginMaintenance(app, { since: before?.since ?? new Date().toISOString(), by, allow });
      else await endMaintenance(app);
      const maintenance = await readMaintenance(app);
      changed = 1;
      const args = on ? { switched: 'on', ...(allow.length === 0 ? {} : { allow }) } : { switched: 'off' };
      const { appendLedger } = await import('#host/ledger');
      await appendLedger(app, { who: by, op: request.verb, args, result: 'done' });
      await say(tell, { type: 'maintenance.switched', app, ...(maintenance === undefined ? {} : { maintenance }) });
      break;
    }
  }
  const duration = (performance.now() - started) / 1000;
  await say(tell, { type: 'operation.finished', changed, unchanged: 0, removed: 0, duration });
  return 0;
}
