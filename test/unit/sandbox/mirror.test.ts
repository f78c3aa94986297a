import { expect, test } from 'vitest';
import { parseSources } from '../../../src/sandbox/mirror.ts';

test('the mirror is what apt says Debian comes from', () => {
  const listing = [
    'https://vendor.example/node_20.x/ nodistro .',
    'http://mirror.example/debian/ bookworm Debian',
    'http://mirror.example/debian/ bookworm-updates Debian',
    'http://security.example/debian-security/ bookworm-security Debian',
  ].join('\n');
  expect(parseSources(listing)).toEqual({
    archive: 'http://mirror.example/debian',
    security: 'http://security.example/debian-security',
  });
});

test('a machine of another distribution has no Debian mirror', () => {
  const listing = 'http://archive.example/ubuntu/ noble Ubuntu\nhttp://archive.example/ubuntu/ noble-security Ubuntu';
  expect(parseSources(listing)).toEqual({ archive: undefined, security: undefined });
  expect(parseSources('')).toEqual({ archive: undefined, security: undefined });
});

test('sources whose lists were never fetched have no origin yet', () => {
  expect(parseSources('http://mirror.example/debian/ trixie ').archive).toBe('http://mirror.example/debian');
});
