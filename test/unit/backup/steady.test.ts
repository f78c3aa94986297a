import { expect, test } from 'vitest';
import { jumpOf } from '#backup/steady';

const HOUR = 3_600_000;
const NOW = Date.parse('2026-05-01T06:00:00Z');
const ago = (...hours: readonly number[]): readonly string[] =>
  hours.map((hour) => new Date(NOW - hour * HOUR).toISOString());

test('a clock that went on from record to record for a day is steady, whatever was before', () => {
  expect(jumpOf(ago(96, 72, 48, 24.2, 0.5), NOW)).toBeUndefined();
  expect(jumpOf(ago(2000, 49, 24.5, 0.5), NOW)).toBeUndefined();
  expect(jumpOf([], NOW)).toBeUndefined();
  expect(jumpOf(ago(1), NOW)).toBeUndefined();
});

test('one that went ahead has not been, for a day, also where the newest records are right again', () => {
  expect(jumpOf(ago(960, 0.5), NOW)).toEqual({ from: ago(960)[0], to: ago(0.5)[0] });
  expect(jumpOf(ago(960), NOW)?.from).toBe(ago(960)[0]);
  expect(jumpOf(ago(960, 20, 3), NOW)?.to).toBe(ago(20)[0]);
});

test('nor one that went back', () => {
  expect(jumpOf(ago(-960, 0.5), NOW)?.from).toBe(ago(-960)[0]);
  expect(jumpOf(ago(30, -960), NOW)?.from).toBe(ago(-960)[0]);
});
