import { open, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DeployError } from '#core/errors';
import { eachLine } from '#core/lines';
import { nextSegment, segmentAt } from './archive.ts';
import { formatLsn, type Lsn, parseLsn } from './lsn.ts';
import { afterRecord, type Found, MANAGERS, searchFor } from './search.ts';
import type { Target } from './target.ts';

/** Log on this machine: whole segments without a gap in a folder. */
export interface LocalLog {
  readonly folder: string;
  readonly timeline: number;
  readonly segmentBytes: number;
  /** The names of the segments, in order. */
  readonly files: readonly string[];
  /** Up to where the last of them has content. */
  readonly end: Lsn;
}

/** A log that was read from one end to the other. */
export interface ReadLog extends Found {
  /** Where the last whole record begins. */
  readonly last: Lsn;
}

/** A place in a log that should hold a record and does not. */
export class DamagedLog extends DeployError {
  /** The segment that it is in. */
  readonly file: string;

  constructor(file: string, message: string) {
    super('copy-broken', message, {
      hint: 'Take a new full copy at once with `deploy backup now <environment>`; a moment before it can be restored still.',
    });
    this.file = file;
  }
}

/** Bytes of a position on, as they lie in the segments. */
async function bytesAt(log: LocalLog, lsn: Lsn, count: number): Promise<Buffer> {
  const { folder, timeline, segmentBytes } = log;
  await using file = await open(join(folder, segmentAt(timeline, lsn, segmentBytes)), 'r');
  const { buffer } = await file.read(Buffer.alloc(count), 0, count, Number(lsn % BigInt(segmentBytes)));
  return buffer;
}

/** The length of the record at a position. It begins at a multiple of eight, so that the number lies on one page. */
async function lengthAt(log: LocalLog, lsn: Lsn): Promise<bigint> {
  return BigInt((await bytesAt(log, lsn, 4)).readUInt32LE());
}

/** The record that ends a segment before it is full (access/xlog.h: RM_XLOG_ID 0, XLOG_SWITCH 0x40). */
async function isSwitch(log: LocalLog, lsn: Lsn): Promise<boolean> {
  const head = await bytesAt(log, lsn, 24);
  return head[17] === 0 && ((head[16] ?? 0) & 0xf0) === 0x40;
}

/** Rejects where the log breaks off before its end: after its last whole record there may only be the part of another. */
async function demandWhole(log: LocalLog, last: Lsn, said: string): Promise<void> {
  const size = BigInt(log.segmentBytes);
  const next = (await isSwitch(log, last))
    ? (last / size + 1n) * size
    : afterRecord(last, await lengthAt(log, last), size);
  if (next >= log.end) return;
  const length = await lengthAt(log, next);
  if (length !== 0n && afterRecord(next, length, size) > log.end) return;
  const file = segmentAt(log.timeline, next, log.segmentBytes);
  throw new DamagedLog(
    file,
    `The write-ahead log is damaged in ${file}, at ${formatLsn(next)}, though it goes on to ${formatLsn(log.end)}:\n${said}`,
  );
}

/** An empty segment after the last one, without which `pg_waldump` waits for it. */
async function withEnd({ folder, files, segmentBytes }: LocalLog): Promise<string> {
  const file = nextSegment(files.at(-1) ?? '', segmentBytes);
  await writeFile(join(folder, file), '');
  await truncate(join(folder, file), segmentBytes);
  return file;
}

/**
 * Reads a log record by record, each checked against its own checksum, from a base's start on, and looks for a target
 * behind `from`. `inImage` is the argument vector of a program in a container that has the log at `/log`.
 */
export async function readLog(
  log: LocalLog,
  { start, from, target }: { readonly start: Lsn; readonly from: Lsn; readonly target: Target },
  inImage: (program: string, args: readonly string[]) => readonly string[],
): Promise<ReadLog> {
  const search = searchFor(target, from);
  const end = await withEnd(log);
  const args = [
    ...['--path=/log', `--start=${formatLsn(start)}`, ...MANAGERS.map((name) => `--rmgr=${name}`)],
    ...[log.files[0] ?? '', end],
  ];
  const { stderr } = await eachLine(inImage('pg_waldump', args), (line) => search.see(line), { timeout: 6 * 3600 });
  // It always ends so: after the last record there is none.
  const [, position] = /error in WAL record at ([0-9A-F]+\/[0-9A-F]+)/.exec(stderr) ?? [];
  const said = stderr.trim().split('\n').at(-1) ?? '';
  if (position === undefined) {
    throw new DamagedLog(
      log.files[0] ?? '',
      `The write-ahead log cannot be read from ${formatLsn(start)} on:\n${said}`,
    );
  }
  const last = parseLsn(position);
  await demandWhole(log, last, said);
  return { ...search.found(), last };
}
