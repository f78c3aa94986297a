import { expect, test } from 'vitest';
import { recoveryOf, switchOf } from '#backup/postgres/revive';
import { isShort } from '#backup/postgres/rows';

const LOG = `LOG:  starting PostgreSQL 17.11
FATAL:  the database system is starting up
LOG:  consistent recovery state reached at 0/9000120
LOG:  recovery stopping before WAL location (LSN) "0/A143880"
LOG:  redo done at 0/A143880 system usage: CPU: user: 0.00 s, system: 0.00 s, elapsed: 0.01 s
LOG:  last completed transaction was at log time 2026-11-21 20:43:07.376407+00
LOG:  selected new timeline ID: 2
`;

test('tells from the log where a recovery stopped, and what was committed last', () => {
  expect(recoveryOf(LOG)).toEqual({
    stopped: 'before WAL location (LSN) "0/A143880"',
    last: '2026-11-21T20:43:07.376Z',
  });
});

test('tells of a recovery that ran out of log that it stopped nowhere', () => {
  expect(recoveryOf('LOG:  redo done at 0/A143880\nLOG:  selected new timeline ID: 2\n')).toEqual({});
});

test('reads from a history of several timelines where the last one was left', () => {
  const history = '1\t0/3000148\tafter LSN 0/3000120\n\n2\t1/A143880\tbefore 2026-11-21 20:43:07.376407+00\n\n';
  expect(switchOf(history)).toBe(0x1_0a14_3880n);
  expect(switchOf('')).toBeUndefined();
});

test.each([
  [{ before: 1000, after: undefined }, true],
  [{ before: 0, after: undefined }, true],
  [{ before: 1000, after: 499 }, true],
  [{ before: 1000, after: 500 }, false],
  [{ before: 1000, after: 2000 }, false],
  [{ before: 99, after: 0 }, false],
])('%j is short: %s', (counts, expected) => {
  expect(isShort(counts)).toBe(expected);
});
