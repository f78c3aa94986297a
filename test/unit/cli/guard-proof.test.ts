import { describe, expect, test } from 'vitest';
import { ownAddress } from '#cli/guard-proof';

describe("the host's address of the other family", () => {
  const addresses = ['10.0.0.5', '203.0.113.7', 'fd00::5', '2001:db8::7'];

  test('is one that can be reached from where we are', () => {
    expect(ownAddress(addresses, 6, '203.0.113.7')).toBe('2001:db8::7');
    expect(ownAddress(addresses, 4, '2001:db8::7')).toBe('203.0.113.7');
    expect(ownAddress(['10.0.0.5', '100.64.0.9'], 4, '2001:db8::7')).toBeUndefined();
  });

  test('may be a private one where we came in by one, or through another host', () => {
    expect(ownAddress(addresses, 6, '10.0.0.5')).toBe('fd00::5');
    expect(ownAddress(addresses, 4, 'behind-the-jump-host')).toBe('10.0.0.5');
  });
});
