/**
 * A position in the write-ahead log: bytes since its beginning. Arithmetic on it is arithmetic on bytes; text is only
 * for people and for PostgreSQL.
 */
export type Lsn = bigint;

/** The position that PostgreSQL writes as `16/B374D848`; rejects anything else. */
export function parseLsn(text: string): Lsn {
  const match = /^([0-9A-Fa-f]{1,8})\/([0-9A-Fa-f]{1,8})$/.exec(text.trim());
  if (match === null) throw new Error(`${text} is no position in a write-ahead log`);
  return (BigInt(`0x${match[1]}`) << 32n) | BigInt(`0x${match[2]}`);
}

/** A position as PostgreSQL writes it. */
export function formatLsn(lsn: Lsn): string {
  return `${hex(lsn >> 32n)}/${hex(lsn & 0xffffffffn)}`;
}

/** A position as 16 hexadecimal digits, for names: their order is that of the positions. */
export function lsnDigits(lsn: Lsn): string {
  return hex(lsn, 16);
}

/** The position of 16 hexadecimal digits. */
export function lsnOfDigits(digits: string): Lsn {
  return BigInt(`0x${digits}`);
}

/** A number as upper-case hexadecimal digits, as PostgreSQL writes them in names. */
export function hex(value: bigint | number, digits = 1): string {
  return value.toString(16).toUpperCase().padStart(digits, '0');
}

/** The last of positions; the log's beginning where there are none. */
export function latestOf(positions: readonly Lsn[]): Lsn {
  let last = 0n;
  for (const one of positions) if (one > last) last = one;
  return last;
}
