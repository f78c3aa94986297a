import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatMoment, parseMoment, parseTarget } from '#backup/postgres/target';

const ZONE = 'Europe/Berlin';
const at = (text: string): string => {
  const target = parseTarget(text, ZONE);
  return target.kind === 'time' ? formatMoment(target.moment) : target.kind;
};

describe('what is meant by a word', () => {
  test('is everything, a position, a transaction, or the name of a restore point', () => {
    expect(parseTarget('latest', ZONE)).toEqual({ kind: 'latest' });
    expect(parseTarget('lsn:16/B374D848', ZONE)).toEqual({ kind: 'lsn', lsn: 0x16_b374_d848n });
    expect(parseTarget('xid:743', ZONE)).toEqual({ kind: 'xid', xid: '743' });
    for (const name of ["before Anna's import", 'release 4f2a', 'Latest', '2026', 'lsn', '20261121T120000Z']) {
      expect(parseTarget(name, ZONE)).toEqual({ kind: 'name', name });
    }
  });

  test.each(['lsn:16', 'lsn:x/y', 'xid:', 'xid:7a', ''])('is refused where it is none: %s', (text) => {
    expect(() => parseTarget(text, ZONE)).toThrow(expect.objectContaining({ code: 'restore-refused' }));
  });
});

describe('a time', () => {
  test.each([
    ['2026-11-21T12:00:00Z', '2026-11-21T12:00:00.000Z'],
    ['2026-11-21 12:00:00z', '2026-11-21T12:00:00.000Z'],
    ['2026-11-21T12:00Z', '2026-11-21T12:00:00.000Z'],
    ['2026-11-21T12:00:00.123456Z', '2026-11-21T12:00:00.123456Z'],
    ['2026-11-21T12:00:00,5+02:00', '2026-11-21T10:00:00.500Z'],
    ['2026-01-01T00:30:00+05:30', '2025-12-31T19:00:00.000Z'],
    ['2026-11-21T12:00:00-0800', '2026-11-21T20:00:00.000Z'],
    ['2026-11-21T12:00:00+02', '2026-11-21T10:00:00.000Z'],
  ])('%s is %s', (text, moment) => {
    expect(at(text)).toBe(moment);
  });

  test('of the hour that the clocks of autumn show twice is two moments, told apart by the offset alone', () => {
    expect(at('2026-10-25T02:30:00+02:00')).toBe('2026-10-25T00:30:00.000Z');
    expect(at('2026-10-25T02:30:00+01:00')).toBe('2026-10-25T01:30:00.000Z');
  });

  test.each(['2026-10-25T02:30:00', '2026-11-21 12:00', '2026-11-21T12:00:00.5'])(
    'without an offset is not guessed: %s',
    (text) => {
      expect(() => parseTarget(text, ZONE)).toThrow(
        expect.objectContaining({ code: 'restore-refused', hint: expect.stringContaining(ZONE) }),
      );
    },
  );

  test.each([
    ...['2026-11-21', '2026-11-21T', '2026-11-21T25:00:00Z', '2026-02-29T12:00:00Z', '2026-11-31T00:00:00Z'],
    ...['2026-13-01T00:00:00Z', '2026-11-21T12:00:00+99:00', '2026-11-21T12:00:00+02:75', '2026-11-21T12:00:60Z'],
    '2026-11-21T12:00:00 Europe/Berlin',
  ])('that is on no calendar is refused: %s', (text) => {
    expect(() => parseTarget(text, ZONE)).toThrow(expect.objectContaining({ code: 'restore-refused' }));
  });

  test('comes back as it was written, whatever the offset', () => {
    const moments = fc.bigInt({ min: 1_000_000_000_000_000n, max: 4_102_444_800_000_000n });
    const offsets = fc.integer({ min: -15 * 60, max: 15 * 60 });
    fc.assert(
      fc.property(moments, offsets, (moment, minutes) => {
        const local = formatMoment(moment + BigInt(minutes) * 60_000_000n).slice(0, -1);
        const [hours, rest] = [Math.floor(Math.abs(minutes) / 60), Math.abs(minutes) % 60];
        const offset = `${minutes < 0 ? '-' : '+'}${String(hours).padStart(2, '0')}:${String(rest).padStart(2, '0')}`;
        expect(parseTarget(`${local}${offset}`, ZONE)).toEqual({ kind: 'time', moment });
        expect(parseMoment(formatMoment(moment))).toBe(moment);
      }),
    );
  });
});
