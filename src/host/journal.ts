import { createWriteStream } from 'node:fs';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { redactDeep, redactor } from '#core/redact';
import type { Event, EventBody } from '#protocol/event';
import { PATHS } from './paths.ts';

/** How many operations' logs are kept. */
const KEPT = 200;

export type Emit = (event: EventBody) => void;

/** Where an operation's events are kept. */
export function journalPath(operation: string): string {
  return join(PATHS.operations, `${operation}.ndjson`);
}

/** The operations that left a log, oldest first. Their names sort by time. */
export async function operations(): Promise<readonly string[]> {
  const names = await readdir(PATHS.operations).catch(() => []);
  return names
    .filter((name) => name.endsWith('.ndjson'))
    .map((name) => name.slice(0, -'.ndjson'.length))
    .sort();
}

/** A name for an operation that sorts by time. */
export function newOperation(): string {
  return `${new Date().toISOString().replace(/[-:]/g, '').replace('.', '').slice(0, 18)}-${process.pid}`;
}

/**
 * The event log of one operation: every event goes to disk and to whoever listens, with the secrets blanked out. That
 * the listener is gone changes nothing.
 */
export async function openJournal(
  operation: string,
  secrets: readonly string[],
  listen: (line: string) => void,
): Promise<{ emit: Emit; close(): Promise<void> }> {
  await mkdir(PATHS.operations, { recursive: true, mode: 0o700 });
  const old = (await operations()).slice(0, -KEPT);
  await Promise.all(old.map((name) => rm(journalPath(name), { force: true })));
  const redact = redactor(secrets);
  const log = createWriteStream(journalPath(operation), { flags: 'a', mode: 0o600 });
  return {
    emit(body) {
      const event: Event = { at: new Date().toISOString(), operation, ...redactDeep(body, redact) };
      const line = `${JSON.stringify(event)}\n`;
      log.write(line);
      listen(line);
    },
    close: () => new Promise((resolve) => log.end(resolve)),
  };
}
