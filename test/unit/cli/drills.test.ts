import fc from 'fast-check';
import { expect, test } from 'vitest';
import { drillCheckLines, drillsText, span } from '#cli/drill-text';
import { drillsPage } from '#cli/drills-page';
import { labelOf, momentsIn, ticksUpTo, timesOf, type Unit } from '#cli/drills-plot';
import { paintFor } from '#cli/paint';
import type { DrillReport } from '#protocol/backup';

const plain = paintFor({ isTTY: false });

const report = (changes: Partial<DrillReport> = {}): DrillReport => ({
  ...{ id: 'one', app: 'shop', source: 'postgres', type: 'postgres', at: '2026-03-29T04:00:10.000Z' },
  ...{ by: 'the host vps', repository: 'offsite', verdict: 'passed', target: 'latest' },
  ...{ reached: '2026-03-29T03:59:58.000Z', rpo: 12, rto: 21.5, bytes: 1.2e9, walBytes: 3e8, duration: 55 },
  phases: [
    { name: 'fetching', duration: 20 },
    { name: 'replaying', duration: 35 },
  ],
  checks: [{ name: 'promoted', result: 'passed', found: 'on timeline 2', duration: 1 }],
  ...changes,
});

test('the values at an axis begin at nothing, rise evenly, and reach what is shown without leaving it empty', () => {
  const most = fc.oneof(fc.constant(0), fc.double({ min: 0, max: 1e13, noNaN: true }));
  fc.assert(
    fc.property(most, fc.constantFrom<Unit>('seconds', 'bytes'), (value, unit) => {
      const ticks = ticksUpTo(value, unit);
      const last = ticks.at(-1) ?? 0;
      expect(ticks[0]).toBe(0);
      expect(ticks.length).toBeGreaterThanOrEqual(2);
      expect(ticks.length).toBeLessThanOrEqual(7);
      expect(last).toBeGreaterThanOrEqual(value * (1 - 1e-9));
      expect(last).toBeLessThanOrEqual(Math.max(value, 1e-3) * 2.5);
      expect(new Set(ticks.map((tick) => labelOf(tick, unit))).size).toBe(ticks.length);
    }),
  );
});

test('values at an axis are round in what they are counted in', () => {
  expect(ticksUpTo(47, 'seconds').map((tick) => labelOf(tick, 'seconds'))).toEqual([
    '0',
    '10 s',
    '20 s',
    '30 s',
    '40 s',
    '50 s',
  ]);
  expect(ticksUpTo(1000, 'seconds').map((tick) => labelOf(tick, 'seconds'))).toEqual([
    '0',
    '5 min',
    '10 min',
    '15 min',
    '20 min',
  ]);
  expect(ticksUpTo(1.9e9, 'bytes').map((tick) => labelOf(tick, 'bytes'))).toEqual([
    '0',
    '512 MB',
    '1 GB',
    '1.5 GB',
    '2 GB',
  ]);
});

test('moments at an axis are within it, and not too many, whatever its length', () => {
  fc.assert(
    fc.property(fc.integer({ min: 60_000, max: 10 * 365 * 86_400_000 }), fc.nat(), (length, offset) => {
      const from = Date.UTC(2026, 0, 1) + offset;
      const all = momentsIn(from, from + length);
      expect(all.length).toBeLessThanOrEqual(7);
      for (const { at } of all) expect(at >= from && at <= from + length).toBe(true);
    }),
  );
  const alone = timesOf([report()]);
  expect(Date.parse(report().at) - alone.from).toBe(alone.to - Date.parse(report().at));
});

test('what is told is never markup of the page, and the page needs nothing from elsewhere', () => {
  const found = '<script>alert("&")</script>';
  const failed = report({
    ...{ id: 'two', verdict: 'failed', why: found, source: 'a"b<i>', by: found },
    checks: [{ name: found, result: 'failed', found, duration: 0 }],
  });
  const standings = [{ source: found, type: 'postgres', repository: 'offsite', copies: 0, bytes: 0 } as const];
  const alarms = [{ message: found, hint: found }];
  const hosts = [
    {
      host: 'vps',
      reports: [report(), failed, report({ id: 'three', verdict: 'error', why: 'no room', phases: [] })],
      standings,
      alarms,
    },
  ];
  const html = drillsPage({ app: 'shop', environment: 'prod', hosts, now: Date.parse('2026-03-30T00:00:00Z') });
  expect(html).not.toMatch(/<script|<link|<img|<i>|https?:/);
  expect(html).toContain('&lt;script&gt;alert(&quot;&amp;&quot;)&lt;/script&gt;');
  // Every mark of a plot leads to a report that is on the page.
  const targets = [...html.matchAll(/href="#([^"]+)"/g)].map(([, id]) => id);
  expect(targets.length).toBeGreaterThan(5);
  for (const id of new Set(targets)) expect(html).toContain(`id="${id}"`);
  expect(html).not.toMatch(/NaN|undefined|Infinity/);
});

test('a page without any drill says so', () => {
  const html = drillsPage({
    app: 'shop',
    environment: 'prod',
    hosts: [{ host: 'vps', reports: [], standings: [], alarms: [] }],
    now: 0,
  });
  expect(html).toContain('There was no drill yet.');
});

test('drills are a table, with why the last one of a source has not passed', () => {
  const lines = drillsText(
    [report(), report({ id: 'two', verdict: 'failed', why: 'row counts: gone\nand more' })],
    plain,
  );
  expect(lines[1]).toBe(
    '  2026-03-29 04:00:10  postgres  passed   2026-03-29 03:59:58    1.1 GB      22 s      12 s      55 s  offsite',
  );
  expect(lines.slice(3)).toEqual(['  ✗ postgres: row counts: gone', '    and more']);
  expect(drillsText([], plain)).toEqual(['  no drill yet']);
});

test('a check tells the lines of what it found', () => {
  const check = {
    name: 'tables and indexes',
    result: 'failed',
    found: 'btree index "t_v":\n  item out of order',
    duration: 2,
  } as const;
  expect(drillCheckLines('postgres', check, plain)).toEqual([
    '    ✗ postgres     tables and indexes     btree index "t_v":  2.0 s',
    '        item out of order',
  ]);
});

test.each([
  [45, '45 s'],
  [7199, '119 min 59 s'],
  [10_800, '3 h'],
  [260_000, '3 d'],
])('%s seconds are %s', (seconds, text) => {
  expect(span(seconds)).toBe(text);
});
