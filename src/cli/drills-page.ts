import { span } from '#cli/drill-text';
import { escapeHtml, linePlot, phasePlot, verdictStrip } from '#cli/drills-plot';
import { STYLE } from '#cli/drills-style';
import { formatBytes, formatSeconds } from '#core/units';
import type { Alarm, DrillCheck, DrillReport, Standing } from '#protocol/backup';

/** What is known of the drills on one host. */
export interface HostDrills {
  readonly host: string;
  /** Oldest first. */
  readonly reports: readonly DrillReport[];
  /** What can be restored now; empty where the repositories were not asked or did not answer. */
  readonly standings: readonly Standing[];
  readonly alarms: readonly Alarm[];
}

/** What the page is made of. */
export interface PageContent {
  readonly app: string;
  readonly environment: string;
  readonly hosts: readonly HostDrills[];
  /** Milliseconds. */
  readonly now: number;
}

const VERDICT: Readonly<Record<DrillReport['verdict'], string>> = {
  passed: 'passed',
  failed: 'failed',
  error: 'not carried out',
};
const SIGN: Readonly<Record<DrillCheck['result'], string>> = { passed: '✓', failed: '✗', skipped: '–' };

const e = escapeHtml;

function moment(iso: string): string {
  return new Date(iso).toISOString().slice(0, 19).replace('T', ' ');
}

const orNone = <T>(value: T | undefined, text: (value: T) => string): string =>
  value === undefined ? '–' : text(value);

function badge(verdict: DrillReport['verdict']): string {
  return `<span class="badge ${verdict}">${VERDICT[verdict]}</span>`;
}

function standingCard({ source, repository, newest, oldest }: Standing, now: number): string {
  if (newest === undefined || oldest === undefined) {
    return `<div class="card bad"><h3>${e(source)} <small>${repository}</small></h3><p class="figure">nothing to restore</p></div>`;
  }
  const age = Math.max(0, (now - Date.parse(newest)) / 1000);
  return `<div class="card"><h3>${e(source)} <small>${repository}</small></h3><p class="figure">${moment(newest)}</p><p>UTC, ${span(age)} before this page was made; back to ${moment(oldest)}</p></div>`;
}

function lastCard(report: DrillReport): string {
  const { source, verdict, at, rpo, rto, why } = report;
  const figures = [
    ...(rto === undefined ? [] : [`usable after <b>${span(rto)}</b>`]),
    ...(rpo === undefined ? [] : [`<b>${span(rpo)}</b> of data would have been lost`]),
  ];
  const reason = verdict === 'passed' || why === undefined ? '' : `<p class="why">${e(why)}</p>`;
  return `<div class="card ${verdict === 'passed' ? '' : 'bad'}"><h3>${e(source)} <small>last drill, ${moment(at)} UTC</small></h3><p class="figure">${badge(verdict)}</p><p>${figures.join(', ')}</p>${reason}</div>`;
}

function checkRow({ name, result, found, duration }: DrillCheck): string {
  return `<tr class="${result}"><td><span class="sign">${SIGN[result]}</span> ${result}</td><th scope="row">${e(name)}</th><td class="found">${e(found)}</td><td class="number">${formatSeconds(duration)}</td></tr>`;
}

function details({ checks, phases, why, verdict }: DrillReport): string {
  const reason = verdict === 'error' && why !== undefined ? `<p class="why">${e(why)}</p>` : '';
  const rows = checks.map(checkRow).join('');
  const table =
    checks.length === 0
      ? '<p>Nothing was looked at.</p>'
      : `<div class="wide"><table class="checks"><thead><tr><th scope="col">result</th><th scope="col">check</th><th scope="col">found</th><th scope="col" class="number">took</th></tr></thead><tbody>${rows}</tbody></table></div>`;
  const times = phases.map(({ name, duration }) => `${e(name)} ${formatSeconds(duration)}`).join(' · ');
  return `${reason}${table}<p class="phases">${times}</p>`;
}

function reportRow(report: DrillReport): string {
  const { id, at, source, verdict, target, reached, bytes, walBytes, rto, rpo, duration, by, repository } = report;
  const failed = report.checks.filter(({ result }) => result === 'failed').length;
  const said = failed === 0 ? `${report.checks.length} checks` : `${failed} of ${report.checks.length} checks failed`;
  return `<section class="report ${verdict}" id="${e(id)}">
<h4><time datetime="${e(at)}">${moment(at)}</time> ${badge(verdict)} <span class="source">${e(source)}</span></h4>
<dl>
<div><dt>restored as of (UTC)</dt><dd>${orNone(reached, moment)}</dd></div>
<div><dt>asked for</dt><dd>${e(target === 'latest' ? 'the latest' : moment(target))}</dd></div>
<div><dt>usable after (RTO)</dt><dd>${orNone(rto, span)}</dd></div>
<div><dt>would have been lost (RPO)</dt><dd>${orNone(rpo, span)}</dd></div>
<div><dt>size</dt><dd>${orNone(bytes, formatBytes)}</dd></div>
<div><dt>log replayed</dt><dd>${orNone(walBytes, formatBytes)}</dd></div>
<div><dt>took in all</dt><dd>${span(duration)}</dd></div>
<div><dt>from, by</dt><dd>${repository}, ${e(by)}</dd></div>
</dl>
<details${verdict === 'passed' ? '' : ' open'}><summary>${said}</summary>${details(report)}</details>
</section>`;
}

function figure(title: string, note: string, plot: string, className = ''): string {
  return `<figure class="${className}"><figcaption>${title}<small>${note}</small></figcaption>${plot}</figure>`;
}

function plots(source: string, reports: readonly DrillReport[]): string {
  const hasLog = reports.some(({ walBytes }) => walBytes !== undefined);
  return `<h3>${e(source)}</h3><div class="plots">
${figure('Verdicts', 'a circle has passed, a cross has failed, a triangle could not be carried out', verdictStrip(reports, `Verdicts of ${source}`), 'strip')}
${figure(
  'Usable after',
  'RTO: from the beginning until the restored data could be used',
  linePlot(reports, `Time until ${source} could be used`, 'seconds', ({ rto }) => rto),
)}
${figure(
  'Would have been lost',
  'RPO: data of how long, had the host burnt down when the drill began',
  linePlot(reports, `Data of ${source} that would have been lost`, 'seconds', ({ rpo }) => rpo),
)}
${figure(
  'Size',
  'bytes on disk once restored',
  linePlot(reports, `Size of ${source}`, 'bytes', ({ bytes }) => bytes),
)}
${
  hasLog
    ? figure(
        'Log replayed',
        'bytes of write-ahead log behind the copy that was begun with',
        linePlot(reports, `Log replayed for ${source}`, 'bytes', ({ walBytes }) => walBytes),
      )
    : ''
}
${figure('Time taken', 'each drill by its phases', phasePlot(reports, `Time taken by drills of ${source}`))}
</div>`;
}

function hostSection({ host, reports, standings, alarms }: HostDrills, now: number, isAlone: boolean): string {
  const sources = [...new Set([...standings, ...reports].map(({ source }) => source))].sort();
  const of = (source: string) => reports.filter((report) => report.source === source);
  const last = sources.flatMap((source) => of(source).slice(-1));
  const inOrder = [...standings].sort((one, other) =>
    one.source < other.source ? -1 : one.source > other.source ? 1 : 0,
  );
  const title = isAlone ? '' : `<h2>${e(host)}</h2>`;
  const warned = alarms.map(({ message, hint }) => `<li><b>${e(message)}</b><br>${e(hint)}</li>`).join('');
  return `${title}
${warned === '' ? '' : `<section class="alarms"><h2>Alarms now</h2><ul>${warned}</ul></section>`}
<section><h2>What can be restored now</h2><div class="cards">${inOrder.map((one) => standingCard(one, now)).join('') || '<p>The repositories have not said.</p>'}</div></section>
<section><h2>Last drills</h2><div class="cards">${last.map(lastCard).join('') || '<p>There was no drill yet.</p>'}</div></section>
${
  reports.length === 0
    ? ''
    : `<section><h2>Over time</h2>${sources.map((source) => (of(source).length === 0 ? '' : plots(source, of(source)))).join('')}</section>
<section><h2>Every drill</h2>${[...reports].reverse().map(reportRow).join('\n')}</section>`
}`;
}

/** All drills of an app as one page that needs nothing besides itself: no script, no font, no image from elsewhere. */
export function drillsPage({ app, environment, hosts, now }: PageContent): string {
  const title = `Drills of ${app} (${environment})`;
  const reports = hosts.flatMap((one) => one.reports);
  const passed = reports.filter(({ verdict }) => verdict === 'passed').length;
  const names = hosts.map(({ host }) => host).join(', ');
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${e(title)}</title>
<style>${STYLE}</style>
</head>
<body>
<main>
<header><h1>${e(title)}</h1><p>${e(names)} · ${reports.length === 1 ? '1 drill' : `${reports.length} drills`}, ${passed} passed · made ${moment(new Date(now).toISOString())} UTC</p></header>
${hosts.map((one) => hostSection(one, now, hosts.length === 1)).join('\n')}
</main>
</body>
</html>
`;
}
