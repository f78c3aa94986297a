import type { Paint } from '#cli/paint';
import { formatBytes, formatSeconds } from '#core/units';
import type { DrillCheck, DrillReport } from '#protocol/backup';

/** Columns of the name of a source, and of a check. */
const WIDTH = { source: 12, check: 22 };

/** A moment as a person compares it, by UTC. */
function moment(iso: string): string {
  return new Date(iso).toISOString().slice(0, 19).replace('T', ' ');
}

/** Seconds as a person reads them, days included. */
export function span(seconds: number): string {
  if (seconds < 7200) return formatSeconds(seconds);
  const hours = Math.round(seconds / 3600);
  return hours < 48 ? `${hours} h` : `${Math.round(hours / 24)} d`;
}

const SIGNS: Readonly<Record<DrillCheck['result'], { readonly sign: string; readonly colour: keyof Paint }>> = {
  passed: { sign: '✓', colour: 'green' },
  failed: { sign: '✗', colour: 'red' },
  skipped: { sign: '–', colour: 'yellow' },
};

/** One thing that a drill has looked at: what was found, and how long it took. */
export function drillCheckLines(source: string, { name, result, found, duration }: DrillCheck, paint: Paint): string[] {
  const { sign, colour } = SIGNS[result];
  const [first = '', ...more] = found.split('\n');
  const took = duration < 0.05 ? '' : paint.dim(`  ${formatSeconds(duration)}`);
  const head = `    ${paint[colour](sign)} ${source.padEnd(WIDTH.source)} ${name.padEnd(WIDTH.check)} `;
  return [
    `${head}${result === 'failed' ? paint.red(first) : first}${took}`,
    ...more.map((line) => `      ${paint[result === 'failed' ? 'red' : 'dim'](line)}`),
  ];
}

const VERDICTS: Readonly<Record<DrillReport['verdict'], { readonly says: string; readonly colour: keyof Paint }>> = {
  passed: { says: 'passed', colour: 'green' },
  failed: { says: 'failed', colour: 'red' },
  error: { says: 'could not be carried out, which says nothing of the copies', colour: 'yellow' },
};

/** The figures of a drill that a person asks for first. */
function figuresOf({ reached, rpo, rto, bytes }: DrillReport): string[] {
  return [
    ...(reached === undefined ? [] : [`restored as of ${moment(reached)} UTC`]),
    ...(bytes === undefined ? [] : [formatBytes(bytes)]),
    ...(rto === undefined ? [] : [`usable after ${span(rto)}`]),
    ...(rpo === undefined ? [] : [`${span(rpo)} of data would have been lost`]),
  ];
}

/** What a drill came to. */
export function drillVerdictLines(report: DrillReport, paint: Paint): string[] {
  const { source, verdict, why, duration, phases } = report;
  const { says, colour } = VERDICTS[verdict];
  const figures = figuresOf(report);
  const slow = phases.map(({ name, duration: took }) => `${name} ${formatSeconds(took)}`).join(', ');
  return [
    `    ${paint[colour](`${source} ${says}`)}${paint.dim(` in ${formatSeconds(duration)}`)}${figures.length === 0 ? '' : `: ${figures.join(', ')}`}`,
    ...(verdict === 'error' && why !== undefined ? why.split('\n').map((line) => `      ${line}`) : []),
    ...(slow === '' ? [] : [paint.dim(`      ${slow}`)]),
  ];
}

function cell(text: string, width: number): string {
  return text.length > width ? `${text.slice(0, width - 1)}…` : text.padEnd(width);
}

/** All drills of one host as a table, the newest last, and why the last one of each source has not passed. */
export function drillsText(reports: readonly DrillReport[], paint: Paint): string[] {
  if (reports.length === 0) return [paint.dim('  no drill yet')];
  const width = Math.max(6, ...reports.map(({ source }) => source.length));
  const head = `  ${'began (UTC)'.padEnd(19)}  ${'source'.padEnd(width)}  verdict  ${'restored as of'.padEnd(19)}  ${'size'.padStart(8)}  ${'usable'.padStart(8)}  ${'lost'.padStart(8)}  ${'took'.padStart(8)}  from`;
  const lines = reports.map(({ at, source, verdict, reached, bytes, rto, rpo, duration, repository }) => {
    const { colour } = VERDICTS[verdict];
    const columns = [
      cell(reached === undefined ? '–' : moment(reached), 19),
      (bytes === undefined ? '–' : formatBytes(bytes)).padStart(8),
      (rto === undefined ? '–' : span(rto)).padStart(8),
      (rpo === undefined ? '–' : span(rpo)).padStart(8),
      span(duration).padStart(8),
      repository,
    ];
    return `  ${moment(at)}  ${source.padEnd(width)}  ${paint[colour](verdict.padEnd(7))}  ${columns.join('  ')}`;
  });
  const last = [...new Map(reports.map((report) => [report.source, report])).values()];
  const faults = last.flatMap(({ source, verdict, why = '' }) => {
    const [first = '', ...more] = why.split('\n');
    return verdict === 'passed' ? [] : [paint.red(`  ✗ ${source}: ${first}`), ...more.map((line) => `    ${line}`)];
  });
  return [paint.dim(head), ...lines, ...faults];
}
