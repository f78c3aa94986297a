import fc from 'fast-check';
import { expect, test } from 'vitest';
import { beginOf, generationPrefix } from '#backup/postgres/generation';
import { stampOf } from '#core/stamp';

test('a generation is named after the second it began in', () => {
  expect(stampOf(new Date('2026-02-03T04:05:06.789Z'))).toBe('20260203T040506Z');
  expect(generationPrefix('db', { systemId: '7301', generation: '20260203T040506Z' })).toBe(
    'wal/db/7301/20260203T040506Z',
  );
});

test('the moment comes back from the name, to the second', () => {
  const moment = fc.date({ min: new Date('1970-01-01'), max: new Date('2999-12-31'), noInvalidDate: true });
  fc.assert(
    fc.property(moment, (at) => {
      expect(beginOf({ generation: stampOf(at) })).toBe(Math.floor(at.getTime() / 1000) * 1000);
    }),
  );
});
