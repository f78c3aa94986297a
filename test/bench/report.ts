import { cpus, loadavg } from 'node:os';
import { median, type Samples } from './measure.ts';

/** One comparison, as every benchmark prints it. */
export interface Row {
  readonly name: string;
  /** How far away the host is; `direct` also where there is none. */
  readonly link: 'direct' | '50ms';
  readonly unit: string;
  readonly slipway: number;
  readonly peer: string;
  readonly peerValue: number;
  /** slipway / peerValue: below one is less than the peer needs. */
  readonly ratio: number;
}

/** A row from its parts. */
export function row(parts: Omit<Row, 'ratio' | 'unit'> & { readonly unit?: string }): Row {
  const { name, link, unit = 's', slipway, peer, peerValue } = parts;
  return {
    name,
    link,
    unit,
    slipway: round(slipway),
    peer,
    peerValue: round(peerValue),
    // Where nobody lost anything the two are equal.
    ratio: slipway === peerValue ? 1 : round(slipway / peerValue),
  };
}

function round(value: number): number {
  return Number(value.toPrecision(4));
}

function plainly({ ratio, unit }: Row): string {
  return ratio < 1 && unit === 's' ? `${(1 / ratio).toFixed(1)} times faster` : `${ratio.toFixed(2)} of it`;
}

/** Columns aligned, numbers to the right. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((cells) => cells[column]?.length ?? 0)));
  const isNumber = (cell: string) => /^[\d.]+( \S+)?$/.test(cell);
  return rows
    .map((cells) =>
      cells
        .map((cell, column) => (isNumber(cell) ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** How the single measurements spread around their medians. */
export function spread(samples: Samples): string {
  const head = ['measured', 'runs', 'least', 'median', 'most'];
  const lines = [...samples].map(([name, values]) => [
    name,
    String(values.length),
    ...[Math.min(...values), median(values), Math.max(...values)].map((value) => `${value.toFixed(3)} s`),
  ]);
  return table([head, ...lines]);
}

/** The benchmark's result: a table for people and, last, one line for machines. */
export function print(bench: string, rows: readonly Row[], notes: readonly string[] = []): void {
  const head = ['', 'link', 'slipway', 'peer', '', 'that is'];
  const lines = rows.map((row) => {
    const { name, link, unit, slipway, peer, peerValue } = row;
    return [name, link, `${slipway} ${unit}`, peer, `${peerValue} ${unit}`, plainly(row)];
  });
  console.log(`\n${table([head, ...lines])}`);
  for (const note of notes) console.log(note);
  console.log(JSON.stringify({ bench, rows }));
}

/** What else the machine was doing, without which no timing can be judged. */
export function circumstances(): string {
  const [one = 0, five = 0] = loadavg();
  return `${cpus().length} cores, Node ${process.version}, load ${one.toFixed(2)} (1 min) ${five.toFixed(2)} (5 min)`;
}
