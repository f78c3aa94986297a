import type { EventBody } from '#protocol/event';
import type { Facts } from '#protocol/facts';
import type { ReleaseRequest } from '#protocol/plan';
import { abortCanary, abortUnderWay } from '#release/abort-canary';
import type { Ear } from '#release/ear';
import { ALONE } from '#release/manner';
import { promoteCanary } from '#release/promote-canary';
import { readRun } from '#release/run';
import { appendLedger } from './ledger.ts';
import { lockHolder } from './lock.ts';
import { runOperation } from './operation.ts';

type Asked = Extract<ReleaseRequest, { verb: 'canary' }>;

/** Somebody else is at work on the canary and holds the lock, so it is they who take it back. */
async function haveAborted({ verb, app, by, action }: Asked, tell: (line: string) => void): Promise<boolean> {
  const started = performance.now();
  const run = await abortUnderWay(app, by, async () => (await lockHolder()) !== undefined);
  if (run?.state !== 'taken-back') return false;
  const { release, tag, why = '' } = run;
  await appendLedger(app, { who: by, op: verb, args: { action, release, tag }, result: 'done' });
  const say = (body: EventBody) => tell(`${JSON.stringify({ at: new Date().toISOString(), ...body })}\n`);
  say({ type: 'release.taken-back', app, release, tag, why });
  const duration = (performance.now() - started) / 1000;
  say({ type: 'operation.finished', changed: 1, unchanged: 0, removed: 0, duration });
  return true;
}

/** Takes a canary further, or back; resolves with the exit code. */
export async function canary(request: Asked, facts: Facts, ear: Ear, tell: (line: string) => void): Promise<number> {
  const { verb, app, environment, by, action, hold } = request;
  if (action === 'abort' && (await haveAborted(request, tell))) return 0;
  const run = await readRun(app);
  const args = { action, ...(run === undefined ? {} : { release: run.release, tag: run.tag }) };
  const manner = { ...ALONE, hold, ear };
  return runOperation({ verb, app, environment, by, secrets: [], args, manner }, facts, tell, async (machine) => {
    if (action === 'promote') await promoteCanary(machine, app);
    else await abortCanary(machine, app);
    return { changed: 1, unchanged: 0, removed: 0 };
  });
}
