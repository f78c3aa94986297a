import { setTimeout as sleep } from 'node:timers/promises';
import { asDeployError } from '#core/errors';
import type { EventBody } from '#protocol/event';
import type { Facts } from '#protocol/facts';
import { ALONE, type Manner } from '#release/manner';
import { recoverReleases } from '#release/recovery';
import type { Outcome } from './converge.ts';
import { type Emit, newOperation, openJournal } from './journal.ts';
import { appendLedger } from './ledger.ts';
import { lockHolder, takeLock } from './lock.ts';
import { createHost, type Machine } from './machine.ts';
import { noteRecovered } from './recovered.ts';
import { SETTLE } from './settle.ts';

/** What is to be done, for whom. */
export interface Doing {
  readonly verb: string;
  readonly app: string;
  readonly environment: string;
  /** Who asks, as `user@machine`. */
  readonly by: string;
  /** Values that must never be shown. */
  readonly secrets: readonly string[];
  /** What the ledger says of it besides its verb; never a secret. */
  readonly args?: Readonly<Record<string, unknown>>;
  /** Changes nothing, so it takes no lock and leaves nothing in the ledger. */
  readonly readsOnly?: boolean;
  readonly manner?: Manner;
}

/** Seconds that whoever comes waits for the host's own tidying up, which is over soon. */
const PATIENCE = 60;

/** Takes the host's lock; only another operation refuses it, the host's own tidying up is waited for. */
async function takeTurn(holder: Parameters<typeof takeLock>[0]): Promise<AsyncDisposable> {
  const until = Date.now() + PATIENCE * 1000;
  for (;;) {
    try {
      return await takeLock(holder);
    } catch (error) {
      const other = await lockHolder();
      if (Date.now() > until || (other !== undefined && other.verb !== SETTLE)) throw error;
      await sleep(200);
    }
  }
}

async function catchUp(machine: Machine): Promise<void> {
  try {
    const { recoverSwaps } = await import('#host/swap-data');
    await recoverSwaps(machine);
    await noteRecovered(await recoverReleases(machine));
  } catch (thrown) {
    // What is in the way may be just what this operation is about to mend.
    machine.warn(`What was interrupted could not be brought to its end yet: ${asDeployError(thrown).message}`);
  }
}

/**
 * Runs one operation from its lock to its last event: with a journal that others can follow, interrupted releases
 * brought to their end first, and an entry in the ledger where anything was changed. Resolves with the exit code.
 */
export async function runOperation(
  doing: Doing,
  facts: Facts,
  tell: (line: string) => void,
  work: (machine: Machine, emit: Emit) => Promise<Outcome>,
): Promise<number> {
  const started = performance.now();
  const operation = newOperation();
  const { verb, app, environment, by, readsOnly = false } = doing;
  const lock = readsOnly ? undefined : await takeTurn({ operation, verb, by });
  const journal = await openJournal(operation, doing.secrets, tell);
  let resource: string | undefined;
  let changed = 0;
  let flipped: Readonly<Record<string, unknown>> = {};
  const emit = (event: EventBody): void => {
    if (event.type === 'resource.started') resource = event.resource;
    if (event.type === 'resource.changed') changed += 1;
    if (event.type === 'release.flipped') {
      const { release, tag, from } = event;
      flipped = { release, tag, ...(from === undefined ? {} : { from }) };
    }
    if (event.type === 'release.canary') flipped = { release: event.release, percent: event.percent };
    journal.emit(event);
  };
  const machine = createHost(
    facts,
    {
      say: (message) => emit({ type: 'progress', message, ...(resource === undefined ? {} : { resource }) }),
      warn: (message, hint) => emit({ type: 'warning', message, ...(hint === undefined ? {} : { hint }) }),
      tell: emit,
    },
    { by, manner: doing.manner ?? ALONE },
  );
  const note = async (result: string, args: Readonly<Record<string, unknown>> = {}): Promise<void> => {
    if (readsOnly) return;
    await appendLedger(app, { who: by, op: verb, args: { ...doing.args, ...flipped, ...args }, result });
  };
  emit({ type: 'operation.started', verb, app, environment, by });
  try {
    if (!readsOnly) await catchUp(machine);
    const outcome = await work(machine, emit);
    const { removed } = outcome;
    if (outcome.changed + removed > 0) await note('done', { changed: outcome.changed, removed });
    emit({ type: 'operation.finished', ...outcome, duration: (performance.now() - started) / 1000 });
  } catch (thrown) {
    const error = asDeployError(thrown);
    await note(error.code).catch(() => undefined);
    emit({
      type: 'operation.failed',
      error: {
        code: error.code,
        message: error.message,
        hint: error.hint,
        ...(error.resource === undefined ? {} : { resource: error.resource }),
      },
      changed,
      duration: (performance.now() - started) / 1000,
    });
    if (error.code === 'internal' && error.cause instanceof Error) console.error(error.cause.stack);
    return error.exitCode;
  } finally {
    await journal.close();
    await lock?.[Symbol.asyncDispose]();
  }
  return 0;
}
