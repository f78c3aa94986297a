import { expect, test } from 'vitest';
import { addressesOf, parseNameservers } from '../../../src/sandbox/network.ts';
import { freeNumber } from '../../../src/sandbox/record.ts';

test('a host has both addresses of its number', () => {
  expect(addressesOf(10)).toEqual({ address: '10.203.7.10', address6: 'fd5a:203:7::a' });
});

test('numbers are given from the lowest free one, until none is left', () => {
  expect(freeNumber([])).toBe(10);
  expect(freeNumber([10, 12])).toBe(11);
  expect(() => freeNumber(Array.from({ length: 241 }, (_, index) => index + 10))).toThrow('no free address');
});

test('nameservers on loopback are of no use to a host', () => {
  const stub = 'search example\nnameserver 127.0.0.53\nnameserver ::1\n';
  expect(parseNameservers(stub)).toEqual([]);
  expect(parseNameservers(`${stub} nameserver 192.0.2.53\n# nameserver 192.0.2.54\n`)).toEqual(['192.0.2.53']);
});
