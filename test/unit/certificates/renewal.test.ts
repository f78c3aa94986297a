import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { backOff, nextFailure, renewalTime } from '#certificates/renewal';

const DAY = 86_400_000;
const MINUTE = 60_000;
const START = Date.UTC(2027, 0, 1);

function lasting(days: number) {
  return { notBefore: START, notAfter: START + days * DAY };
}

const failure = { code: 'certificate-dns', message: 'm', hint: 'h', directory: 'https://ca.test/dir' };

describe('when a certificate falls due', () => {
  it.each([
    [90, 60],
    [64, 64 * (2 / 3)],
    [45, 30],
    [10, 5],
    [160 / 24, 80 / 24],
  ])('one of %d days after %d days', (lifetime, after) => {
    expect((renewalTime(lasting(lifetime)) - START) / DAY).toBeCloseTo(after, 6);
  });

  it('follows a share of its own', () => {
    expect(renewalTime(lasting(100), { renewAfterFraction: 0.25 })).toBe(START + 25 * DAY);
  });

  it('takes days before the end at their word for a long one', () => {
    expect(renewalTime(lasting(90), { renewBefore: (20 * DAY) / 1000 })).toBe(START + 70 * DAY);
  });

  it('does not renew a short one for ever because of thirty days before the end', () => {
    expect(renewalTime(lasting(6), { renewBefore: (30 * DAY) / 1000 })).toBe(START + 3 * DAY);
  });

  it('never trusts a suggestion with the last twentieth', () => {
    expect(renewalTime(lasting(100), { suggested: START + 99 * DAY })).toBe(START + 95 * DAY);
    expect(renewalTime(lasting(100), { suggested: START + 10 * DAY })).toBe(START + 10 * DAY);
  });

  it('falls within the lifetime, whatever the policy', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 5000 }),
        fc.record(
          { renewAfterFraction: fc.double({ min: 0.01, max: 0.95, noNaN: true }), renewBefore: fc.nat(1e8) },
          { requiredKeys: [] },
        ),
        (hours, policy) => {
          const validity = { notBefore: START, notAfter: START + hours * 3_600_000 };
          const due = renewalTime(validity, policy);
          expect(due).toBeGreaterThan(validity.notBefore);
          expect(due).toBeLessThan(validity.notAfter);
        },
      ),
    );
  });
});

describe('after failures', () => {
  it('waits 1, 10 and 100 minutes, then a day each', () => {
    expect([1, 2, 3, 4, 5, 50].map(backOff)).toEqual([MINUTE, 10 * MINUTE, 100 * MINUTE, DAY, DAY, DAY]);
  });

  it('counts them', () => {
    const first = nextFailure(undefined, failure, START, undefined);
    const second = nextFailure(first, failure, START, undefined);
    expect([first.count, second.count]).toEqual([1, 2]);
    expect(second.next).toBe(START + 10 * MINUTE);
    expect(second.notBefore).toBeUndefined();
  });

  it('waits as long as the authority asks', () => {
    const limited = nextFailure(undefined, failure, START, 3600);
    expect(limited.next).toBe(START + 60 * MINUTE);
    expect(limited.notBefore).toBe(START + 60 * MINUTE);
  });
});
