import { expect, test } from 'vitest';
import { readStory } from '#backup/postgres/replay';

test('where a server stopped is read from what it says, and nowhere where it says nothing', () => {
  const log = `
2026-11-21 21:25:45 UTC [9] LOG:  redo starts at 0/2000028
2026-11-21 21:25:45 UTC [9] LOG:  recovery stopping before WAL location (LSN) "0/3001818"
2026-11-21 21:25:45 UTC [9] LOG:  redo done at 0/30017E0 system usage: CPU: user: 0.00 s
2026-11-21 21:25:46 UTC [1] LOG:  database system is ready to accept connections`;
  expect(readStory(log)).toEqual({
    stopped: 'recovery stopping before WAL location (LSN) "0/3001818"',
    reached: 0x3001818n,
  });
  expect(readStory(log.replace('before', 'after')).stopped).toContain('after WAL location');
  // It takes connections all the same, without having been stopped anywhere.
  expect(readStory(log.replace(/^.*stopping.*$/m, ''))).toEqual({});
});
