import { describe, expect, it } from 'vitest';
import {
  AcmeProblem,
  AuthorityUnreachable,
  explain,
  isTransient,
  parseProblem,
  parseRetryAfter,
} from '#certificates/problem';

const URN = 'urn:ietf:params:acme:error:';

function problem(type: string, more: Record<string, unknown> = {}) {
  const parsed = parseProblem({ type: `${URN}${type}`, detail: 'the detail', ...more });
  if (parsed === undefined) throw new Error('no problem');
  return parsed;
}

describe('problem documents', () => {
  it('keep the type, the detail, the name and what is below them', () => {
    const parsed = parseProblem({
      type: `${URN}compound`,
      detail: 'some failed',
      subproblems: [{ type: `${URN}caa`, detail: 'no', identifier: { type: 'dns', value: 'a.test' } }],
    });
    expect(parsed).toEqual({
      type: 'compound',
      detail: 'some failed',
      subproblems: [{ type: 'caa', detail: 'no', identifier: 'a.test', subproblems: [] }],
    });
  });

  it.each([undefined, null, '', 'text', 7, {}, { type: 7 }, []])('are not found in %j', (data) => {
    expect(parseProblem(data)).toBeUndefined();
  });

  it.each([
    ['rateLimited', 'certificate-rate-limited'],
    ['caa', 'certificate-caa'],
    ['dns', 'certificate-dns'],
    ['connection', 'certificate-challenge'],
    ['tls', 'certificate-challenge'],
    ['unauthorized', 'certificate-challenge'],
    ['incorrectResponse', 'certificate-challenge'],
    ['rejectedIdentifier', 'certificate-name-refused'],
    ['externalAccountRequired', 'certificate-account'],
    ['invalidContact', 'certificate-account'],
    ['serverInternal', 'certificate-authority'],
    ['badCSR', 'certificate-refused'],
    ['neverHeardOf', 'certificate-refused'],
  ])('of type %s become %s, with what the authority said', (type, code) => {
    const error = explain('No certificate for a.test', new AcmeProblem(problem(type), { status: 403 }));
    expect(error.code).toBe(code);
    expect(error.message).toBe(`No certificate for a.test: the detail [${type}]`);
    expect(error.hint).toMatch(/\.$/);
  });

  it('name every refused domain', () => {
    const below = [{ type: `${URN}caa`, detail: 'forbidden', identifier: { value: 'b.test' } }];
    const error = explain('Nothing', new AcmeProblem(problem('compound', { subproblems: below }), { status: 400 }));
    expect(error.message).toContain('b.test: forbidden');
  });

  it('name the time a rate limit ends', () => {
    const now = Date.UTC(2027, 0, 1);
    const limited = new AcmeProblem(problem('rateLimited'), { status: 429, retryAfter: 3600 });
    expect(explain('Nothing', limited, now).message).toContain('not before 2027-01-01T01:00:00.000Z');
  });

  it('tell an authority that cannot be trusted from one that does not answer', () => {
    const at = 'https://ca.test/dir';
    const down = explain('Nothing', new AuthorityUnreachable(at, 'connect (ECONNREFUSED)', undefined));
    const clock = explain(
      'Nothing',
      new AuthorityUnreachable(at, 'certificate is not yet valid (CERT_NOT_YET_VALID)', 0),
    );
    expect([down.code, clock.code]).toEqual(['certificate-authority', 'certificate-authority']);
    expect(down.message).toContain('ca.test cannot be reached');
    expect(clock.hint).toContain('timedatectl');
  });
});

describe('asking again within a run', () => {
  it.each([
    [503, 'serverInternal', undefined, true],
    [503, 'serverInternal', 5, true],
    [503, 'serverInternal', 3600, false],
    [429, 'rateLimited', undefined, false],
    [429, 'rateLimited', 5, true],
    [429, 'rateLimited', 3600, false],
    [400, 'badNonce', undefined, true],
    [403, 'unauthorized', undefined, false],
    [undefined, 'dns', undefined, false],
  ])('after %s %s with Retry-After %s: %s', (status, type, retryAfter, expected) => {
    const answer = { retryAfter, ...(status === undefined ? {} : { status }) };
    expect(isTransient(new AcmeProblem(problem(type), answer))).toBe(expected);
  });

  it('helps where the network fails, not where the certificate does', () => {
    expect(isTransient(new AuthorityUnreachable('https://ca.test', 'read (ECONNRESET)', undefined))).toBe(true);
    expect(isTransient(new AuthorityUnreachable('https://ca.test', 'expired (CERT_HAS_EXPIRED)', undefined))).toBe(
      false,
    );
  });
});

describe('Retry-After', () => {
  const now = Date.UTC(2027, 0, 1);
  it.each([
    ['120', 120],
    ['0', 0],
    ['Fri, 01 Jan 2027 00:01:00 GMT', 60],
    ['Fri, 01 Jan 2021 00:01:00 GMT', 0],
    ['soon', undefined],
    [undefined, undefined],
  ])('%s is %s seconds', (header, seconds) => {
    expect(parseRetryAfter(header, now)).toBe(seconds);
  });
});
