import { expect, test } from 'vitest';
import { oddity } from '#release/domains';

const own = ['203.0.113.7', '2001:db8::7', 'web.example.com'];

test('a domain that leads to one of our hosts is nothing to speak of, however the address is written', () => {
  expect(oddity('shop.example.com', ['198.51.100.1', '203.0.113.7'], own)).toBeUndefined();
  expect(oddity('shop.example.com', ['2001:0db8:0:0:0:0:0:7'], own)).toBeUndefined();
});

test('one that leads elsewhere or nowhere is told, and one that nobody knows of is not', () => {
  expect(oddity('shop.example.com', [], own)).toMatch(/has no address/);
  expect(oddity('shop.example.com', ['198.51.100.1'], own)).toMatch(/leads to 198\.51\.100\.1, .* CDN/);
  expect(oddity('shop.example.com', undefined, own)).toBeUndefined();
});
