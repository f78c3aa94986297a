import { expect, test } from 'vitest';
import { setRecord, zoneText } from '../../../src/sandbox/dns.ts';
import type { HostRecord } from '../../../src/sandbox/record.ts';

const host = (name: string, number: number): HostRecord => ({
  ...{ name, number, release: 'debian-13', varieties: [], user: 'root', hostKeys: [], binds: [], aptCache: false },
});

test('every host has its own name, the internet its services', () => {
  expect(zoneText([host('internet', 2), host('web', 10)], {}).split('\n')).toEqual([
    '10.203.7.2 internet.sandbox.test',
    'fd5a:203:7::2 internet.sandbox.test',
    '10.203.7.2 registry.sandbox.test',
    'fd5a:203:7::2 registry.sandbox.test',
    '10.203.7.2 acme.sandbox.test',
    'fd5a:203:7::2 acme.sandbox.test',
    '10.203.7.10 web.sandbox.test',
    'fd5a:203:7::a web.sandbox.test',
    '',
  ]);
});

test('what was set wins, and nothing set means no such name', () => {
  const zone = { 'web.sandbox.test': {}, 'shop.sandbox.test': { a: ['10.203.7.10'], aaaa: ['fd5a:203:7::a'] } };
  expect(zoneText([host('web', 10)], zone)).toBe('10.203.7.10 shop.sandbox.test\nfd5a:203:7::a shop.sandbox.test\n');
});

test('a name of the real world is not ours to answer for', async () => {
  await expect(setRecord('shop.example.com', { a: ['192.0.2.1'] })).rejects.toMatchObject({ code: 'usage' });
});
