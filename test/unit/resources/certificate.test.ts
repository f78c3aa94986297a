import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { certificateKind } from '#resources/certificate';
import type { CertificateState } from '#resources/certificate-terms';

const directory = 'https://ca.test/dir';
const props = certificateKind.props.parse({
  domains: ['shop.test', 'www.shop.test'],
  directory,
  email: 'me@shop.test',
});
const good: CertificateState = {
  names: ['shop.test', 'www.shop.test'],
  notAfter: Date.UTC(2027, 5, 1),
  keyMatches: true,
  keyExposed: false,
  age: 'good',
  request: props,
};

function summaries(state: CertificateState | undefined, wanted = props) {
  return certificateKind.diff(state, wanted).map(({ summary }) => summary);
}

describe('the difference', () => {
  it('is the whole certificate where there is none', () => {
    expect(summaries(undefined)).toEqual(['issue for shop.test, www.shop.test']);
  });

  it('is empty for a good one, and for one whose renewal waits for its next try', () => {
    expect(summaries(good)).toEqual([]);
    expect(summaries({ ...good, age: 'postponed' })).toEqual([]);
  });

  it.each<[string, Partial<CertificateState>, string]>([
    ['due', { age: 'due' }, 'renew: it ends on 2027-06-01'],
    ['ended', { age: 'ended' }, 'renew: it ended on 2027-06-01'],
    ['a foreign key', { keyMatches: false }, 'issue again: the key beside it is not its own'],
    ['a readable key', { keyExposed: true }, 'key mode -> 0600'],
    ['other names', { names: ['shop.test'] }, 'names shop.test -> shop.test, www.shop.test'],
    ['lost terms', { request: undefined }, `authority unknown -> ${directory}`],
    [
      'another authority',
      { request: { ...props, directory: 'https://b.test/' } },
      `authority https://b.test/ -> ${directory}`,
    ],
    ['another contact', { request: { ...props, email: 'you@shop.test' } }, 'what it is renewed with'],
  ])('names %s', (_what, state, summary) => {
    expect(summaries({ ...good, ...state })).toEqual([summary]);
  });

  it('is empty for whatever was asked for with the same words', () => {
    const label = fc.stringMatching(/^[a-z]([a-z0-9-]{0,10}[a-z0-9])?$/);
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.tuple(label, label), { minLength: 1, maxLength: 5, selector: (name) => name.join('.') }),
        fc.option(fc.constantFrom('require', 'warn', 'skip'), { nil: undefined }),
        fc.option(fc.double({ min: 0.1, max: 0.9, noNaN: true }), { nil: undefined }),
        (names, preflight, renewAfterFraction) => {
          const domains = names.map((labels) => labels.join('.'));
          const wanted = certificateKind.props.parse({
            domains,
            directory,
            ...(preflight === undefined ? {} : { preflight }),
            ...(renewAfterFraction === undefined ? {} : { renewAfterFraction }),
          });
          const stored = JSON.parse(JSON.stringify(wanted)) as typeof wanted;
          expect(certificateKind.diff({ ...good, names: [...domains].sort(), request: stored }, wanted)).toEqual([]);
        },
      ),
    );
  });
});

describe('a declaration', () => {
  it.each([
    ['no domain', { domains: [] }],
    ['a wildcard', { domains: ['*.shop.test'] }],
    ['an address', { domains: ['192.0.2.1'] }],
    ['a path', { domains: ['shop.test/../../etc'] }],
    ['one label', { domains: ['localhost'] }],
    ['a name twice', { domains: ['shop.test', 'SHOP.test'] }],
    ['a directory without TLS', { directory: 'http://ca.test/dir' }],
    ['a CA that is no PEM', { ca: '/etc/ssl/ca.pem' }],
  ])('is refused with %s', (_what, wrong) => {
    expect(certificateKind.props.safeParse({ domains: ['shop.test'], directory, ...wrong }).success).toBe(false);
  });

  it('spells names in lower case and is known by the first', () => {
    const parsed = certificateKind.props.parse({ domains: ['Shop.Test', 'www.shop.test'], directory });
    expect(certificateKind.id(parsed)).toBe('shop.test');
  });

  it('leaves nothing secret behind for its removal', () => {
    expect(certificateKind.footprint(props)).toEqual({ domain: 'shop.test', names: ['shop.test', 'www.shop.test'] });
  });
});
