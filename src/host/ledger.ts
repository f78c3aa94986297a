import { createHash } from 'node:crypto';
import { mkdir, open } from 'node:fs/promises';
import { join } from 'node:path';
import { type LedgerEntry, ledgerEntrySchema } from '#protocol/release';
import { readTextIfThere } from './files.ts';
import { takeTurn } from './lock.ts';
import { PATHS } from './paths.ts';

/** What an operation leaves in the ledger; the rest of an entry follows from what stands there already. */
export type LedgerNote = Pick<LedgerEntry, 'who' | 'op' | 'args' | 'result'>;

/** The first entry that is not as it was written, counted from 1, and how that is known. */
export interface Break {
  readonly seq: number;
  readonly why: string;
}

/** Where an app's ledger is kept. */
export function ledgerPath(app: string): string {
  return join(PATHS.ledger, `${app}.ndjson`);
}

/** The hash of an entry: SHA-256 over all its other fields, as JSON in the order of the schema. */
export function hashOf({ seq, at, who, op, args, result, previousHash }: Omit<LedgerEntry, 'hash'>): string {
  return createHash('sha256').update(JSON.stringify({ seq, at, who, op, args, result, previousHash })).digest('hex');
}

function parse(line: string): LedgerEntry | undefined {
  try {
    return ledgerEntrySchema.safeParse(JSON.parse(line)).data;
  } catch {
    return undefined;
  }
}

/** What a ledger says. What cannot be read is left out, and is found by `findBreak`. */
export function entriesOf(text: string): readonly LedgerEntry[] {
  return text.split('\n').flatMap((line) => parse(line) ?? []);
}

/** The first entry of a ledger that is not as it was written; undefined where all are. */
export function findBreak(text: string): Break | undefined {
  const lines = text.split('\n');
  if (lines.at(-1) === '') lines.pop();
  let previousHash = '';
  for (const [index, line] of lines.entries()) {
    const seq = index + 1;
    const entry = parse(line);
    if (entry === undefined) return { seq, why: 'it cannot be read as an entry' };
    if (hashOf(entry) !== entry.hash) return { seq, why: 'its hash is not that of its content' };
    // A line that was written again differs in spaces or in the order of fields, which the hash does not see.
    if (JSON.stringify(entry) !== line) return { seq, why: 'it is not written as entries are' };
    if (entry.previousHash !== previousHash) return { seq, why: 'it does not follow the entry before it' };
    if (entry.seq !== seq) return { seq, why: `it calls itself entry ${entry.seq}` };
    previousHash = entry.hash;
  }
  return undefined;
}

/** The text of an app's ledger; empty before its first entry. */
export async function readLedger(app: string): Promise<string> {
  return (await readTextIfThere(ledgerPath(app))) ?? '';
}

/** Adds an entry to an app's ledger, synced to disk; those that are added at the same time take turns. */
export async function appendLedger(app: string, note: LedgerNote): Promise<void> {
  await mkdir(PATHS.ledger, { recursive: true, mode: 0o700 });
  await using _turn = await takeTurn('ledger.lock');
  const text = await readLedger(app);
  const last = entriesOf(text).at(-1);
  const content = {
    seq: (last?.seq ?? 0) + 1,
    at: new Date().toISOString(),
    who: note.who,
    op: note.op,
    args: note.args,
    result: note.result,
    previousHash: last?.hash ?? '',
  };
  // What a power cut has left of a line must not swallow the next one.
  const start = text === '' || text.endsWith('\n') ? '' : '\n';
  const log = await open(ledgerPath(app), 'a', 0o600);
  try {
    await log.writeFile(`${start}${JSON.stringify({ ...content, hash: hashOf(content) })}\n`);
    await log.sync();
  } finally {
    await log.close();
  }
}
