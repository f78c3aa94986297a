import { describe, expect, it } from 'vitest';
import { type Finding, judge } from '#certificates/preflight';

const HERE = ['192.0.2.10', '2001:db8::10'];

function finding(address: string, outcome: Finding['outcome'], said = 'said something'): Finding {
  return { address, outcome, said, own: HERE.includes(address) };
}

describe('what the answers of all addresses come to', () => {
  it('is well where every address is ours and gives the token back', () => {
    expect(judge('a.test', [finding('192.0.2.10', 'token'), finding('2001:db8::10', 'token')], HERE)).toEqual({
      warnings: [],
    });
  });

  it('names a domain without records', () => {
    const { error } = judge('a.test', [], HERE);
    expect(error?.code).toBe('certificate-dns');
    expect(error?.hint).toContain('192.0.2.10, 2001:db8::10');
  });

  it('names the AAAA record that leads elsewhere although the A record is right', () => {
    const { error } = judge(
      'a.test',
      [finding('192.0.2.10', 'token'), finding('2001:db8::99', 'silent', 'cannot be reached')],
      HERE,
    );
    expect(error?.code).toBe('certificate-dns');
    expect(error?.message).toContain('AAAA 2001:db8::99 (not this host) cannot be reached');
    expect(error?.hint).toContain('Remove the AAAA record 2001:db8::99');
  });

  it('names who answers at another address', () => {
    const { error } = judge('a.test', [finding('198.51.100.7', 'other', 'answered 404 by Apache')], HERE);
    expect(error?.code).toBe('certificate-dns');
    expect(error?.message).toContain('A 198.51.100.7 (not this host) answered 404 by Apache');
    expect(error?.hint).toContain('preflight: warn');
  });

  it('blames the host where its own address does not answer', () => {
    const { error } = judge('a.test', [finding('192.0.2.10', 'silent', 'refused the connection')], HERE);
    expect(error?.code).toBe('certificate-challenge');
    expect(error?.message).toContain('refused the connection');
  });

  it('only warns behind an address translation that lets the token back', () => {
    const { error, warnings } = judge('a.test', [finding('198.51.100.7', 'token')], HERE);
    expect(error).toBeUndefined();
    expect(warnings).toHaveLength(1);
  });

  it('only warns of a family it cannot try behind a proxy', () => {
    const findings = [finding('198.51.100.7', 'token'), finding('2001:db8:1::7', 'silent', 'cannot be reached')];
    const { error, warnings } = judge('a.test', findings, ['10.0.0.5']);
    expect(error).toBeUndefined();
    expect(warnings[1]).toContain('could not be checked');
  });

  it('refuses a foreign answer even where another address works', () => {
    const findings = [finding('192.0.2.10', 'token'), finding('198.51.100.7', 'other', 'answered 404')];
    expect(judge('a.test', findings, HERE).error?.code).toBe('certificate-dns');
  });
});
