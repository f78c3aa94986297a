import { span } from '#cli/drill-text';
import type { DrillReport } from '#protocol/backup';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const TIME_STEPS = [
  ...[1, 2, 5, 10, 15, 30].map((count) => count * MINUTE),
  ...[1, 2, 3, 6, 12].map((count) => count * HOUR),
  ...[1, 2, 7, 14, 28, 56, 91, 182, 364, 728].map((count) => count * DAY),
];
const MOST_TICKS = 6;

/** Sizes in units of the drawing, which is scaled to the width of the page. */
const BOX = { width: 560, height: 220, left: 62, right: 14, top: 12, bottom: 30 };
const STRIP = { width: 1160, height: 58, middle: 16, bottom: 32 };

/** What a figure is: how it is written at an axis, and what its steps are multiples of. */
export type Unit = 'seconds' | 'bytes';

/** Text as it may stand in a page. */
export function escapeHtml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}

/** Seconds that steps of seconds are counted in: of minutes there are no ten, and of hours no ten. */
function baseOf(most: number, unit: Unit): number {
  if (unit === 'bytes') return 1024 ** Math.max(0, Math.floor(Math.log(Math.max(most, 1)) / Math.log(1024)));
  return most > 4 * 86_400 ? 86_400 : most > 3 * 3600 ? 3600 : most > 180 ? 60 : 1;
}

/** What an axis shows at least, in its unit: below that is nothing, as where an idle database has lost nothing. */
const LEAST = 1e-3;

/** The values at an axis from nothing to the most: round ones, three to six of them. */
export function ticksUpTo(most: number, unit: Unit): readonly number[] {
  const base = baseOf(most, unit);
  const inBase = Math.max(most / base, LEAST);
  const power = 10 ** Math.floor(Math.log10(inBase / 4));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((one) => inBase / one <= 5) ?? 10 * power;
  const count = Math.max(1, Math.ceil(inBase / step - 1e-9));
  return Array.from({ length: count + 1 }, (_, index) => Number((index * step).toPrecision(12)) * base);
}

/** A value as it stands at an axis. */
export function labelOf(value: number, unit: Unit): string {
  if (value === 0) return '0';
  if (unit === 'bytes') {
    const base = baseOf(value, unit);
    return `${Number((value / base).toPrecision(3))} ${['B', 'kB', 'MB', 'GB', 'TB', 'PB'][Math.round(Math.log(base) / Math.log(1024))] ?? ''}`;
  }
  if (value < 1) return `${Number((value * 1000).toPrecision(3))} ms`;
  if (value <= 180) return `${Number(value.toPrecision(3))} s`;
  if (value <= 3 * 3600) return `${Number((value / 60).toPrecision(3))} min`;
  return value % 86_400 === 0 ? `${value / 86_400} d` : `${Number((value / 3600).toPrecision(3))} h`;
}

/** The span that an axis of time shows; wide enough that one drill alone stands in its middle. */
export function timesOf(reports: readonly Pick<DrillReport, 'at'>[]): { readonly from: number; readonly to: number } {
  const all = reports.map(({ at }) => Date.parse(at));
  const [from, to] = [Math.min(...all), Math.max(...all)];
  const margin = Math.max((to - from) * 0.04, all.length < 2 ? 30 * MINUTE : MINUTE / 2);
  return { from: from - margin, to: to + margin };
}

/** Round moments within a span, by UTC: the day of each, and its time where there are several in a day. */
export function momentsIn(
  from: number,
  to: number,
): readonly { readonly at: number; readonly day: string; readonly clock: string }[] {
  const step = TIME_STEPS.find((one) => (to - from) / one <= MOST_TICKS) ?? (to - from) / MOST_TICKS;
  const first = Math.ceil(from / step) * step;
  return Array.from({ length: Math.max(0, Math.floor((to - first) / step) + 1) }, (_, index) => {
    const at = first + index * step;
    const text = new Date(at).toUTCString();
    return { at, day: text.slice(5, 11), clock: step < DAY ? text.slice(17, 22) : '' };
  });
}

function hover({ at, verdict, source }: DrillReport, what: string): string {
  return `${new Date(at).toISOString().slice(0, 16).replace('T', ' ')} UTC, ${source}: ${verdict}${what === '' ? '' : `, ${what}`}`;
}

const SHAPES: Readonly<Record<DrillReport['verdict'], (x: number, y: number) => string>> = {
  passed: (x, y) => `<circle class="passed" cx="${x}" cy="${y}" r="4.5"/>`,
  failed: (x, y) => `<path class="failed" d="M${x - 4.5} ${y - 4.5}l9 9m0-9l-9 9"/>`,
  error: (x, y) => `<path class="error" d="M${x} ${y - 5.5}l5.5 10h-11z"/>`,
};

/** A mark that leads to its report: by its shape as well as by its colour. */
function mark(report: DrillReport, x: number, y: number, what: string): string {
  const shape = SHAPES[report.verdict](Number(x.toFixed(1)), Number(y.toFixed(1)));
  const text = escapeHtml(hover(report, what));
  return `<a href="#${escapeHtml(report.id)}" aria-label="${text}"><title>${text}</title>${shape}</a>`;
}

/** The moments below a drawing; the day is told where it begins, and what has no room is left out. */
function timeAxis(
  times: { from: number; to: number },
  x: (at: number) => number,
  { top, bottom, width = BOX.width }: { readonly top: number; readonly bottom: number; readonly width?: number },
): string {
  let free = BOX.left - 24;
  let told = '';
  return momentsIn(times.from, times.to)
    .map(({ at, day, clock }) => {
      const label = day === told ? clock : `${day} ${clock}`.trim();
      const middle = x(at);
      const half = label.length * 3.4;
      const fits = middle - half > free && middle + half <= width;
      if (fits) free = middle + half + 8;
      if (fits) told = day;
      const text = fits
        ? `<text class="tick" x="${middle.toFixed(1)}" y="${bottom + 19}" text-anchor="middle">${label}</text>`
        : '';
      return `<path class="grid" d="M${middle.toFixed(1)} ${top}V${bottom + 4}"/>${text}`;
    })
    .join('');
}

function scaleOf({ from, to }: { from: number; to: number }, width = BOX.width): (at: number) => number {
  return (at) => BOX.left + ((at - from) / (to - from)) * (width - BOX.left - BOX.right);
}

function drawing(height: number, label: string, content: string, width = BOX.width): string {
  return `<svg viewBox="0 0 ${width} ${height}" role="group" aria-label="${escapeHtml(label)}">${content}</svg>`;
}

/** Every drill by its verdict, along the time. */
export function verdictStrip(reports: readonly DrillReport[], label: string): string {
  const times = timesOf(reports);
  const x = scaleOf(times, STRIP.width);
  const marks = reports.map((report) =>
    mark(report, x(Date.parse(report.at)), STRIP.middle, report.why?.split('\n')[0] ?? ''),
  );
  const axis = timeAxis(times, x, { top: 4, bottom: STRIP.bottom, width: STRIP.width });
  const line = `<path class="axis" d="M${BOX.left} ${STRIP.bottom}H${STRIP.width - BOX.right}"/>`;
  return drawing(STRIP.height, label, axis + line + marks.join(''), STRIP.width);
}

interface Frame {
  readonly x: (at: number) => number;
  readonly y: (value: number) => number;
  readonly content: string;
}

function frameOf(reports: readonly DrillReport[], most: number, unit: Unit): Frame {
  const times = timesOf(reports);
  const x = scaleOf(times);
  const ticks = ticksUpTo(most, unit);
  const top = ticks.at(-1) ?? 1;
  const bottom = BOX.height - BOX.bottom;
  const y = (value: number) => bottom - (value / top) * (bottom - BOX.top);
  const rows = ticks.map((value) => {
    const at = y(value).toFixed(1);
    return `<path class="grid" d="M${BOX.left} ${at}H${BOX.width - BOX.right}"/><text class="tick" x="${BOX.left - 8}" y="${(y(value) + 4).toFixed(1)}" text-anchor="end">${labelOf(value, unit)}</text>`;
  });
  const axis = `<path class="axis" d="M${BOX.left} ${bottom}H${BOX.width - BOX.right}"/>`;
  return { x, y, content: rows.join('') + timeAxis(times, x, { top: BOX.top, bottom }) + axis };
}

/** One figure of all drills over time; drills without it leave a gap. */
export function linePlot(
  reports: readonly DrillReport[],
  label: string,
  unit: Unit,
  figureOf: (report: DrillReport) => number | undefined,
): string {
  const values = reports.flatMap((report) => {
    const value = figureOf(report);
    return value === undefined ? [] : [{ report, value }];
  });
  if (values.length === 0) return '<p class="none">nothing to show yet</p>';
  const { x, y, content } = frameOf(reports, Math.max(...values.map(({ value }) => value)), unit);
  const at = ({ report, value }: (typeof values)[number]) => [x(Date.parse(report.at)), y(value)] as const;
  const path = values
    .map((one) =>
      at(one)
        .map((part) => part.toFixed(1))
        .join(' '),
    )
    .join('L');
  const marks = values.map((one) => mark(one.report, ...at(one), labelOf(Number(one.value.toPrecision(3)), unit)));
  return drawing(BOX.height, label, `${content}<path class="line" d="M${path}"/>${marks.join('')}`);
}

/** The names of all phases, in the order in which they first come. */
export function phaseNames(reports: readonly DrillReport[]): readonly string[] {
  return [...new Set(reports.flatMap(({ phases }) => phases.map(({ name }) => name)))];
}

/** How long each drill took, by phases on top of one another. */
export function phasePlot(reports: readonly DrillReport[], label: string): string {
  const names = phaseNames(reports);
  const most = Math.max(0, ...reports.map(({ phases }) => phases.reduce((sum, { duration }) => sum + duration, 0)));
  if (most === 0) return '<p class="none">nothing to show yet</p>';
  const { x, y, content } = frameOf(reports, most, 'seconds');
  const places = reports.map(({ at }) => x(Date.parse(at))).sort((one, other) => one - other);
  const nearest = Math.min(...places.slice(1).map((place, index) => place - (places[index] ?? 0)), 40);
  const width = Math.max(3, Math.min(26, nearest * 0.7));
  const bars = reports.map((report) => {
    const middle = x(Date.parse(report.at));
    let below = 0;
    const parts = report.phases.map(({ name, duration }) => {
      const [bottom, top] = [y(below), y(below + duration)];
      below += duration;
      const text = escapeHtml(hover(report, `${name} ${labelOf(Number(duration.toPrecision(3)), 'seconds')}`));
      return `<rect class="phase p${names.indexOf(name) % 10}" x="${(middle - width / 2).toFixed(1)}" y="${top.toFixed(1)}" width="${width.toFixed(1)}" height="${(bottom - top).toFixed(2)}"><title>${text}</title></rect>`;
    });
    const text = escapeHtml(hover(report, span(report.duration)));
    return `<a href="#${escapeHtml(report.id)}" aria-label="${text}">${parts.join('')}</a>`;
  });
  const legend = names.map((name, index) => `<li><i class="p${index % 10}"></i>${escapeHtml(name)}</li>`);
  return `${drawing(BOX.height, label, content + bars.join(''))}<ul class="legend">${legend.join('')}</ul>`;
}
