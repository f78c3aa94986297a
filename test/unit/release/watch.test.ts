import { expect, test } from 'vitest';
import type { WatchFigures } from '#protocol/release';
import { figuresOf, ofServing, parseLine } from '#release/access-log';
import { judge } from '#release/watch';

const figures = (change: Partial<WatchFigures>): WatchFigures => ({
  requests: 100,
  errors: 0,
  p50: 0.01,
  p99: 0.1,
  restarts: 0,
  ...change,
});

test.each<[string, Partial<WatchFigures>, Partial<WatchFigures>, boolean, RegExp | undefined]>([
  ['no errors', {}, {}, true, undefined],
  ['as many errors as before', { errors: 20 }, { errors: 20 }, true, undefined],
  ['a few more', { errors: 22 }, { errors: 18 }, true, undefined],
  ['many more', { errors: 20 }, { errors: 1 }, false, /20 of 100 requests \(20 %\) ended with 5xx, 1 % did before/],
  ['two errors are nothing to go by', { requests: 2, errors: 2 }, { requests: 0 }, true, undefined],
  ['three of three are', { requests: 3, errors: 3 }, { requests: 0 }, false, /3 of 3/],
  ['slower at first', { p50: 2 }, {}, false, undefined],
  ['slower to the end', { p50: 2 }, {}, true, /longer than 2000 ms, before it was 10 ms/],
  ['slower, but nobody knows', { p50: 2 }, { requests: 5 }, true, undefined],
])('%s', (_name, now, before, isOver, why) => {
  const said = judge(figures(now), figures(before), isOver);
  if (why === undefined) expect(said).toBeUndefined();
  else expect(said).toMatch(why);
});

test('a canary is held against what the old slot did in the same window', () => {
  const say = (now: Partial<WatchFigures>, old: Partial<WatchFigures>) =>
    judge(figures(now), figures(old), true, 'in the old slot');
  expect(say({ requests: 40, errors: 10 }, { requests: 360, errors: 36 })).toBe(
    '10 of 40 requests (25 %) ended with 5xx, 10 % did in the old slot',
  );
  expect(say({ requests: 40, errors: 10 }, { requests: 360, errors: 90 })).toBeUndefined();
  expect(say({ p50: 2 }, { p50: 0.01 })).toMatch(/longer than 2000 ms, in the old slot it was 10 ms/);
});

const line = (change: Record<string, string>): string =>
  JSON.stringify({ slot: 'green', status: '200', seconds: '0.010', agent: 'curl/8', ...change });

test('figures are those of one slot, without our own questions and without clients that went away', () => {
  const lines = [
    line({}),
    line({ status: '502', seconds: '1.000' }),
    line({ status: '499', seconds: '9.000' }),
    line({ slot: 'blue', status: '500' }),
    line({ agent: 'slipway-gate', status: '500' }),
    '{"slot":"gre',
  ];
  const requests = lines.flatMap((text) => parseLine(text) ?? []);
  expect(figuresOf(requests, 'green', 1)).toEqual({ requests: 2, errors: 1, p50: 1, p99: 1, restarts: 1 });
  expect(figuresOf([], 'green', 0)).toEqual({ requests: 0, errors: 0, p50: 0, p99: 0, restarts: 0 });
});

test('what came before is of the release that serves, not of the one two releases ago', () => {
  const requests = ['green', 'blue', 'blue', 'green', 'green', 'blue', 'blue', 'blue'].map((slot) => ({
    at: 0,
    slot,
    status: 200,
    seconds: 1,
  }));
  expect(figuresOf(ofServing(requests, 'green'), 'blue', 0).requests).toBe(3);
  expect(figuresOf(ofServing(requests, 'blue'), 'green', 0).requests).toBe(0);
  expect(figuresOf(ofServing([], 'green'), 'blue', 0).requests).toBe(0);
});
