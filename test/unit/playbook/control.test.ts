import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { deviationText, type Expectation, expectationText, meets } from '#playbook/control';

const word = fc.stringMatching(/^[a-z0-9@.-]{1,12}$/);
const words = fc.uniqueArray(word, { minLength: 1, maxLength: 5 });
const separator = fc.constantFrom(',', ', ', ' ', '\n');
const expectation: fc.Arbitrary<Expectation> = fc.oneof(
  fc.record({ is: word }),
  fc.record({ oneOf: words }),
  fc.record({ atMost: fc.nat(100) }),
  fc.record({ atLeast: fc.nat(100) }),
  fc.record({ within: words }),
  fc.record({ includes: words }),
);

describe('what was found against what has to be', () => {
  test('a value that is not there meets nothing', () => {
    fc.assert(
      fc.property(expectation, (wanted) => {
        expect(meets({}, wanted)).toBe(false);
      }),
    );
  });

  test('lists are compared member by member, whatever their order and separator', () => {
    fc.assert(
      fc.property(words, words, separator, (found, wanted, between) => {
        const value = found.toReversed().join(between);
        expect(meets({ value }, { within: wanted })).toBe(found.every((one) => wanted.includes(one)));
        expect(meets({ value }, { includes: wanted })).toBe(wanted.every((one) => found.includes(one)));
        expect(meets({ value: '' }, { within: wanted })).toBe(false);
      }),
    );
  });

  test('numbers are numbers, and a word is none', () => {
    fc.assert(
      fc.property(fc.nat(), fc.nat(), (found, bound) => {
        expect(meets({ value: String(found) }, { atMost: bound })).toBe(found <= bound);
        expect(meets({ value: String(found) }, { atLeast: bound })).toBe(found >= bound);
      }),
    );
    for (const value of ['', ' ', 'none', '0 (9 after a reboot)']) {
      expect(meets({ value }, { atMost: 5 })).toBe(false);
      expect(meets({ value }, { atLeast: 0 })).toBe(false);
    }
  });

  test('of a list only what is wrong with it is told', () => {
    expect(deviationText('22,80,6379', { within: ['22', '80'] })).toBe('has 6379');
    expect(deviationText('key', { includes: ['key', 'sudo'] })).toBe('lacks sudo');
    expect(deviationText('yes', { is: 'no' })).toBe('is yes');
    expect(deviationText(undefined, { is: 'no' })).toBe('is not set');
    expect(expectationText({ oneOf: ['deny', 'reject'] })).toBe('deny or reject');
  });
});
