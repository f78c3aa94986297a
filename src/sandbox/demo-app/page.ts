import type { Settings } from './settings.ts';

/** A counter on the page: its value, or why there is none. */
export interface Counter {
  readonly name: string;
  readonly value?: number;
  readonly problem?: string;
}

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ESCAPES[character] ?? character);
}

function duration(seconds: number): string {
  const whole = Math.floor(seconds);
  const parts: [number, string][] = [
    [Math.floor(whole / 86_400), 'd'],
    [Math.floor(whole / 3600) % 24, 'h'],
    [Math.floor(whole / 60) % 60, 'min'],
    [whole % 60, 's'],
  ];
  const shown = parts.filter(([value]) => value > 0).slice(0, 2);
  return shown.length === 0 ? '0 s' : shown.map(([value, unit]) => `${value} ${unit}`).join(' ');
}

/** A colour per version, so that a new release is seen at a glance: a hue from 0 to 359. */
function hue(version: string): number {
  const known: Readonly<Record<string, number>> = { v1: 215, v2: 160 };
  let sum = 0;
  for (const character of version) sum = (sum * 31 + character.charCodeAt(0)) % 360;
  return known[version] ?? sum;
}

function card({ name, value, problem }: Counter): string {
  const body =
    problem === undefined
      ? `<p class="number">${value?.toLocaleString('en') ?? ''}</p><p class="label">visits counted in ${escapeHtml(name)}</p>`
      : `<p class="number off">–</p><p class="label problem">${escapeHtml(problem)}</p>`;
  return `<section class="card"><h2><span class="dot${problem === undefined ? '' : ' down'}"></span>${escapeHtml(name)}</h2>${body}</section>`;
}

const STYLE = `
:root { color-scheme: light dark; --accent: hsl(var(--hue) 75% 36%); --ink: #14181f; --soft: #5c6675; --paper: #f5f7fa; --card: #fff; --line: #e2e7ee; }
@media (prefers-color-scheme: dark) { :root { --accent: hsl(var(--hue) 75% 62%); --ink: #eef2f7; --soft: #98a4b5; --paper: #0f1319; --card: #171d26; --line: #262f3c; } }
* { box-sizing: border-box; margin: 0; }
body { font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; color: var(--ink); background: var(--paper); min-height: 100vh; display: grid; place-items: center; padding: 2rem 1rem; }
main { width: min(46rem, 100%); }
header { display: flex; align-items: center; justify-content: space-between; gap: 1rem; margin-bottom: 1.75rem; }
.brand { display: flex; align-items: center; gap: .75rem; font-weight: 650; font-size: 1.05rem; }
.brand svg { width: 2.25rem; height: 2.25rem; color: var(--accent); }
.version { background: var(--accent); color: var(--card); border-radius: 99px; padding: .3rem .95rem; font-weight: 650; }
h1 { font-size: clamp(1.9rem, 5vw, 2.7rem); line-height: 1.15; letter-spacing: -.025em; margin-bottom: .6rem; }
.lead { color: var(--soft); margin-bottom: 2rem; max-width: 34rem; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(14rem, 1fr)); gap: 1rem; margin-bottom: 1rem; }
.card, dl { background: var(--card); border: 1px solid var(--line); border-radius: 16px; padding: 1.35rem 1.5rem; }
h2 { font-size: .9rem; font-weight: 600; display: flex; align-items: center; gap: .55rem; }
.dot { width: .6rem; height: .6rem; border-radius: 50%; background: #22a06b; } .dot.down { background: #d9483b; }
.number { font-size: 3rem; line-height: 1.2; font-weight: 700; letter-spacing: -.03em; font-variant-numeric: tabular-nums; margin-top: .5rem; color: var(--accent); }
.number.off { color: var(--soft); } .label { color: var(--soft); font-size: .9rem; } .problem { overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: 1rem 1.5rem; }
dt { color: var(--soft); font-size: .8rem; } dd { font: 500 .92rem ui-monospace, SFMono-Regular, Menlo, monospace; overflow-wrap: anywhere; }
footer { color: var(--soft); font-size: .85rem; margin-top: 1.5rem; } footer a { color: inherit; }
`;

const WHOLE = {
  title: 'It is live.',
  lead: 'A container made this page for you just now. Reload it: every counter goes up, whichever release answers.',
};
const BROKEN = {
  title: 'It runs, but not all of it.',
  lead: 'The app answers, and what it stores its visits in does not. The reason stands below; /up says the same to machines.',
};

/** The page that a visitor sees: one file, no script, nothing loaded from elsewhere. `uptime` is in seconds. */
export function renderPage(settings: Settings, counters: readonly Counter[], uptime: number): string {
  const facts: [string, string][] = [
    ['Container', settings.hostname],
    ...(settings.slot === undefined ? [] : ([['Slot', settings.slot]] satisfies [string, string][])),
    ['Up for', duration(uptime)],
    ['Runtime', `Node ${process.versions.node}`],
  ];
  const whole = counters.every(({ problem }) => problem === undefined);
  return `<!doctype html>
<html lang="en" style="--hue: ${hue(settings.version)}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Demo ${escapeHtml(settings.version)}</title>
<link rel="icon" href="data:,">
<style>${STYLE}</style>
</head>
<body>
<main>
<header>
<div class="brand"><svg viewBox="0 0 32 32" fill="none" stroke="currentColor" stroke-width="2.4" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><path d="M2.5 28h27L2.5 20.5"/><path d="m6.5 14.5 20 5.5c.6-3 .2-5.200-1.300-7.5L4.200 9c0 2.300.8 4.200 2.300 5.5ZM14 10.600l1.400-6.100 5 7.100"/></svg>Demo app</div>
<span class="version">${escapeHtml(settings.version)}</span>
</header>
<h1>${whole ? WHOLE.title : BROKEN.title}</h1>
<p class="lead">${whole ? WHOLE.lead : BROKEN.lead}</p>
<div class="cards">${counters.map(card).join('')}</div>
<dl>${facts.map(([term, value]) => `<div><dt>${escapeHtml(term)}</dt><dd>${escapeHtml(value)}</dd></div>`).join('')}</dl>
<footer>Health: <a href="/up">/up</a> · Version: <a href="/version">/version</a> · Events: <a href="/stream">/stream</a></footer>
</main>
</body>
</html>
`;
}
