// One hue for each phase, light enough to tell them apart beside each other on both grounds.
const PHASES = [210, 30, 150, 280, 345, 185, 55, 245, 100, 315];

const hues = (saturation: number, lightness: number) =>
  PHASES.map(
    (hue, index) =>
      `.p${index}{fill:hsl(${hue} ${saturation}% ${lightness}%);background:hsl(${hue} ${saturation}% ${lightness}%)}`,
  ).join('');

/** How the page of all drills looks: on light and dark grounds, on paper, and on a telephone. */
export const STYLE = `
:root{color-scheme:light dark;--ink:#161b22;--soft:#5b6472;--paper:#f6f7f9;--card:#fff;--line:#dfe3e9;--grid:#e9ecf0;--good:#1a7f4b;--bad:#c2322b;--warn:#9a6700;--badge-ink:#fff}
@media(prefers-color-scheme:dark){:root{--ink:#e8ecf2;--soft:#9aa5b5;--paper:#0f1318;--card:#171c24;--line:#2b3340;--grid:#242b36;--good:#3fbf7f;--bad:#ff6b62;--warn:#e0ac3a;--badge-ink:#10141a}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
main{max-width:76rem;margin:0 auto;padding:2rem 1.25rem 4rem}
h1{font-size:1.9rem;line-height:1.2;margin:0}
h2{font-size:1.15rem;margin:2.25rem 0 .75rem}
h3{font-size:1rem;margin:1.25rem 0 .5rem}
header p,small{color:var(--soft)}
header p{margin:.35rem 0 0}
small{font-weight:400;font-size:.85rem}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,21rem),1fr));gap:.9rem}
.card,figure,.report,.alarms{background:var(--card);border:1px solid var(--line);border-radius:.6rem}
.card{padding:.9rem 1.1rem}
.card h3,.card p{margin:0}
.card p{color:var(--soft);font-size:.9rem}
.card .figure{font-size:1.3rem;font-weight:650;color:var(--ink);margin:.2rem 0;font-variant-numeric:tabular-nums}
.card.bad{border-left:.3rem solid var(--bad)}
.card.bad .figure{color:var(--bad)}
.why{color:var(--bad)!important;white-space:pre-wrap;overflow-wrap:anywhere}
.badge{display:inline-block;font-size:.85rem;font-weight:650;line-height:1;padding:.35em .6em;border-radius:1em;color:var(--badge-ink);vertical-align:.1em}
.badge.passed{background:var(--good)}.badge.failed{background:var(--bad)}.badge.error{background:var(--warn)}
.alarms{padding:.1rem 1.1rem .6rem;margin-top:1.5rem;border-left:.3rem solid var(--bad)}
.alarms h2{margin-top:.9rem}
.plots{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,30rem),1fr));gap:.9rem;align-items:start}
figure.strip{grid-column:1/-1;overflow-x:auto}
.strip svg{min-width:40rem}
figure{margin:0;padding:.8rem 1rem .6rem}
figcaption{font-weight:600;margin-bottom:.4rem}
figcaption small{display:block}
svg{display:block;width:100%;height:auto;overflow:visible}
.tick{fill:var(--soft);font-size:12px;font-variant-numeric:tabular-nums}
.grid{stroke:var(--grid);fill:none}.axis{stroke:var(--soft);fill:none}
.line{stroke:var(--soft);stroke-opacity:.55;stroke-width:1.5;fill:none;stroke-linejoin:round}
circle.passed{fill:var(--good);stroke:var(--card);stroke-width:1.5}
path.failed{stroke:var(--bad);stroke-width:3;fill:none;stroke-linecap:round}
path.error{fill:var(--warn);stroke:var(--card);stroke-width:1.5}
.none{color:var(--soft);margin:.5rem 0 1rem}
a:focus-visible,summary:focus-visible{outline:2px solid var(--ink);outline-offset:2px;border-radius:3px}
.legend{display:flex;flex-wrap:wrap;gap:.2rem 1rem;list-style:none;margin:.5rem 0 .3rem;padding:0;color:var(--soft);font-size:.85rem}
.legend i{display:inline-block;width:.75em;height:.75em;border-radius:2px;margin-right:.45em}
${hues(62, 46)}
@media(prefers-color-scheme:dark){${hues(55, 62)}}
.report{padding:.8rem 1.1rem;margin-bottom:.8rem;scroll-margin-top:1rem}
.report:target{outline:2px solid var(--soft)}
.report.failed{border-left:.3rem solid var(--bad)}.report.error{border-left:.3rem solid var(--warn)}
.report h4{margin:0 0 .5rem;font-size:1rem;font-variant-numeric:tabular-nums}
.report .source{color:var(--soft);font-weight:400}
dl{display:grid;grid-template-columns:repeat(auto-fill,minmax(11.5rem,1fr));gap:.5rem 1.2rem;margin:0 0 .6rem}
dt{color:var(--soft);font-size:.8rem}
dd{margin:0;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
summary{cursor:pointer;color:var(--soft)}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.9rem;margin:.5rem 0}
th,td{text-align:left;vertical-align:top;padding:.3rem .7rem .3rem 0;border-top:1px solid var(--grid);font-weight:400}
thead th{color:var(--soft);border-top:0;font-size:.8rem}
tbody th{font-weight:600;min-width:9rem}
.found{white-space:pre-wrap;overflow-wrap:anywhere;min-width:14rem}
.number{text-align:right;white-space:nowrap;padding-right:0;font-variant-numeric:tabular-nums}
tr.passed td:first-child{color:var(--good)}tr.failed td:first-child,tr.failed .found{color:var(--bad)}tr.skipped td:first-child{color:var(--warn)}
td:first-child{white-space:nowrap}
.sign{display:inline-block;width:1.1em}
.phases{color:var(--soft);font-size:.85rem;margin:.3rem 0 0}
@media print{:root{--paper:#fff;--card:#fff;--ink:#000;--soft:#444;--line:#bbb;--grid:#ddd}body{font-size:11px}main{max-width:none;padding:0}.card,figure,.report{break-inside:avoid}.plots{grid-template-columns:1fr 1fr}details::details-content{content-visibility:visible;block-size:auto}*{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
`;
