/** What a dump turned out to hold. */
export interface Scanned {
  /** Rows by table, as `database.table`. */
  readonly rows: Readonly<Record<string, number>>;
  /** Whether its last line says that it is all there. */
  readonly isWhole: boolean;
}

/** Reads a dump, piece by piece. */
export interface Scanner {
  push(piece: Buffer): void;
  end(): Scanned;
}

const LINE_BREAK = 0x0a;
const QUOTE = 0x27;
const TICK = 0x60;
const BACKSLASH = 0x5c;
const OPEN = 0x28;
const SEMICOLON = 0x3b;

/** Bytes of a statement's beginning that are kept: names are 64 characters at most. */
const KEPT = 1200;

const END = /^-- Dump completed(?: on \d{4}-\d\d-\d\d +\d{1,2}:\d\d:\d\d)?$/;
const USE = /^USE `((?:[^`]|``)+)`/;
const CREATE = /^CREATE TABLE (?:IF NOT EXISTS )?`((?:[^`]|``)+)`/;
const INSERT = /^INSERT (?:IGNORE )?INTO `((?:[^`]|``)+)`/;

const plain = (name: string): string => name.replaceAll('``', '`');

/**
 * Counts the rows of each table in a dump while it passes by: the tuples of its INSERT statements. Texts and names are
 * skipped as the server reads them, so what looks like a row in a text is none. One that was cut off is not whole.
 */
export function scanDump(): Scanner {
  const rows: Record<string, number> = {};
  let database = '';
  /** The beginning of the line that is read, as far as it is kept. */
  let line: number[] = [];
  let isLine = true;
  let table: string | undefined;
  /** Rows are counted only after VALUES: before it the columns may be named in parentheses. */
  let hasValues = false;
  let inside: number | undefined;
  let isEscaped = false;
  let last = '';
  /** Routines, triggers and events are written between two DELIMITERs; what they insert is not in the dump. */
  let isRoutine = false;

  function begins(text: string): void {
    if (text.trim() !== '') last = text;
    if (text.startsWith('DELIMITER ')) isRoutine = text.trimEnd() !== 'DELIMITER ;';
    const use = USE.exec(text)?.[1];
    if (use !== undefined) database = plain(use);
    const created = CREATE.exec(text)?.[1];
    if (created !== undefined) rows[`${database}.${plain(created)}`] ??= 0;
  }

  function values(): void {
    if (isRoutine) return;
    const inserted = INSERT.exec(Buffer.from(line).toString('utf8'))?.[1];
    if (inserted !== undefined) table = `${database}.${plain(inserted)}`;
  }

  function step(byte: number): void {
    if (table !== undefined) {
      if (inside !== undefined) {
        if (isEscaped) isEscaped = false;
        else if (byte === BACKSLASH && inside === QUOTE) isEscaped = true;
        else if (byte === inside) inside = undefined;
      } else if (byte === QUOTE || byte === TICK) inside = byte;
      else if (byte === OPEN) rows[table] = (rows[table] ?? 0) + 1;
      else if (byte === SEMICOLON) {
        table = undefined;
        hasValues = false;
        line = [];
        isLine = false;
      }
      return;
    }
    if (byte === LINE_BREAK) {
      if (isLine) begins(Buffer.from(line).toString('utf8'));
      line = [];
      isLine = true;
      return;
    }
    if (!isLine || line.length >= KEPT) return;
    line.push(byte);
    if (!hasValues && byte === 0x53 && endsInValues(line)) {
      hasValues = true;
      values();
      if (table === undefined) hasValues = false;
    }
  }

  return {
    push(piece) {
      for (const byte of piece) step(byte);
    },
    end() {
      if (isLine && line.length > 0) begins(Buffer.from(line).toString('utf8'));
      return { rows, isWhole: table === undefined && END.test(last) };
    },
  };
}

const VALUES = [...Buffer.from(' VALUES')];

function endsInValues(line: readonly number[]): boolean {
  const from = line.length - VALUES.length;
  return from > 0 && VALUES.every((byte, index) => line[from + index] === byte);
}
