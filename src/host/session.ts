import { createInterface } from 'node:readline';
import { answer } from '#audit/audit';
import { asDeployError } from '#core/errors';
import type { Question } from '#protocol/audit';
import { isBackupRequest } from '#protocol/backup';
import type { EventBody } from '#protocol/event';
import type { Facts } from '#protocol/facts';
import {
  type ConvergeRequest,
  type ProofRefusal,
  proofRefusalSchema,
  type Request,
  requestSchema,
  type WaysAnswer,
  waysAnswerSchema,
} from '#protocol/plan';
import type { Ear } from '#release/ear';
import { ALONE } from '#release/manner';
import { attach } from './attach.ts';
import { converge } from './converge.ts';
import { readFacts } from './facts.ts';
import { ownDirectory } from './files.ts';
import type { Laptop } from './guard.ts';
import { lockHolder } from './lock.ts';
import { createHost } from './machine.ts';
import { runOperation } from './operation.ts';
import { PATHS } from './paths.ts';
import { answerRelease, isReleaseRequest, releaseEar } from './release.ts';
import { answerRunning } from './running.ts';

declare const SLIPWAY_VERSION: string;

// The laptop may be gone at any moment; the work goes on, and its events are on disk.
function tell(line: string): void {
  if (!process.stdout.destroyed) process.stdout.write(line);
}

// What comes in while an operation runs must not be able to end it.
function parseJson(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

/** What the laptop says after its request: which ways in work, that a proof failed, or nothing more. */
function hearing(): Laptop & { hear(line: string): void; hangUp(): void } {
  const refusals: ProofRefusal[] = [];
  let ways: WaysAnswer | undefined;
  let isGone = false;
  return {
    hear(line) {
      const said = parseJson(line);
      const refusal = proofRefusalSchema.safeParse(said);
      if (refusal.success) refusals.push(refusal.data);
      ways ??= waysAnswerSchema.safeParse(said).data;
    },
    hangUp() {
      isGone = true;
    },
    ways: () => ways,
    refusals: (guard) => refusals.filter((refusal) => refusal.guard === guard),
    isGone: () => isGone,
  };
}

async function operate(request: ConvergeRequest, facts: Facts, laptop: Laptop, ear: Ear): Promise<number> {
  const { verb, app, environment, by, secrets, hold = false, commandElsewhere = false } = request;
  const manner = { ...ALONE, hold, commandElsewhere, ear };
  const doing = { verb, app, environment, by, secrets, readsOnly: verb === 'plan', manner };
  return runOperation(doing, facts, tell, (machine, emit) => converge(machine, request, emit, laptop));
}

/** Looks up what was asked; changes nothing, and so takes no lock and keeps no log. */
async function audit(questions: readonly Question[], facts: Facts): Promise<number> {
  const started = performance.now();
  const say = (body: EventBody) => tell(`${JSON.stringify({ at: new Date().toISOString(), ...body })}\n`);
  const host = createHost(facts, {
    say: (message) => say({ type: 'progress', message }),
    warn: (message, hint) => say({ type: 'warning', message, ...(hint === undefined ? {} : { hint }) }),
  });
  say({ type: 'audit.answered', answers: [...(await answer(host, questions))] });
  const duration = (performance.now() - started) / 1000;
  say({ type: 'operation.finished', changed: 0, unchanged: questions.length, removed: 0, duration });
  return 0;
}

/** A failure before there is an operation to tell it of. */
function refuse(thrown: unknown): number {
  const error = asDeployError(thrown);
  const { code, message, hint } = error;
  tell(
    `${JSON.stringify({ at: new Date().toISOString(), type: 'operation.failed', error: { code, message, hint }, changed: 0, duration: 0 })}\n`,
  );
  if (code === 'internal' && error.cause instanceof Error) console.error(error.cause.stack);
  return error.exitCode;
}

/** Makes the folders that the host side keeps its memory in. nginx has to get through the first to the slots' flags. */
async function prepareState(): Promise<void> {
  await ownDirectory(PATHS.state, 0o711);
  for (const path of [PATHS.ownership, PATHS.pending, PATHS.originals, PATHS.guards]) await ownDirectory(path);
}

/**
 * One session over standard input and output: says hello with the facts, reads one request, answers with events. Once
 * the request is read, the session works on to its end whether or not anybody still listens.
 */
export async function session(): Promise<number> {
  process.stdout.on('error', () => undefined);
  // A closing connection must not take the operation with it.
  process.on('SIGHUP', () => undefined);
  process.on('SIGPIPE', () => undefined);
  const laptop = hearing();
  const ear = releaseEar();
  const lines = createInterface({ input: process.stdin });
  const firstLine = new Promise<string | undefined>((resolve) => {
    lines.once('line', (line) => {
      resolve(line);
      lines.on('line', (more) => {
        laptop.hear(more);
        ear.hear(more);
      });
    });
    lines.once('close', () => {
      laptop.hangUp();
      ear.hangUp();
      resolve(undefined);
    });
  });
  try {
    await prepareState();
    const [facts, holder] = await Promise.all([readFacts(), lockHolder()]);
    const busy = holder === undefined ? {} : { busy: `deploy ${holder.verb} by ${holder.by} since ${holder.since}` };
    tell(
      `${JSON.stringify({ at: new Date().toISOString(), type: 'hello', version: SLIPWAY_VERSION, facts, ...busy })}\n`,
    );
    const line = await firstLine;
    if (line === undefined) return 0;
    const request: Request = requestSchema.parse(JSON.parse(line));
    if (request.verb === 'attach') return await attach(request.operation, tell);
    if (request.verb === 'audit') return await audit(request.questions, facts);
    if (request.verb === 'status' || request.verb === 'logs' || request.verb === 'maintenance') {
      return await answerRunning(request, facts, tell);
    }
    if (isBackupRequest(request)) {
      const { answerBackup } = await import('#host/backup-answer');
      return await answerBackup(request, facts, tell);
    }
    if (isReleaseRequest(request)) return await answerRelease(request, facts, ear, tell);
    return await operate(request, facts, laptop, ear);
  } catch (error) {
    return refuse(error);
  } finally {
    lines.close();
    process.stdin.destroy();
  }
}
