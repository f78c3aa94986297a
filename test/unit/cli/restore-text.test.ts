import { expect, test } from 'vitest';
import { paintFor } from '#cli/paint';
import { momentText, previewText, restoredText } from '#cli/restore-text';

const paint = paintFor({ isTTY: false } as NodeJS.WriteStream);
const MOMENT = '2026-03-29T12:05:00.123456Z';

test('a preview says how much is left out, and where a release goes back too, how much is lost', () => {
  const event = { ...{ type: 'restore.previewed' as const, app: 'shop', source: 'postgres' }, at: MOMENT };
  const about = { ...event, reaches: MOMENT, base: '20260329T020000Z', bytes: 1e9 };
  expect(previewText({ ...about, loses: 0.2 }, paint)[0]).toMatch(/nothing .* is left out/);
  expect(previewText({ ...about, loses: 90 }, paint)[0]).toContain('90 s of data after it are left out');
  expect(previewText({ ...about, loses: 90, tag: 'v1' }, paint)).toEqual([
    '  v1 serves again, with postgres as it was when it was replaced, at 2026-03-29 12:05:00 UTC: 90 s of data are lost',
  ]);
  expect(momentText(MOMENT)).toBe('2026-03-29 12:05:00 UTC');
});

test('what was restored comes with the commands that look into it, and that are rid of it', () => {
  const done = {
    ...{ type: 'restore.done' as const, app: 'shop', source: 'postgres', reached: MOMENT, duration: 7, at: MOMENT },
    ...{ look: ['docker run it'], leave: ['rm it'] },
  };
  const beside = restoredText({ ...done, into: 'scratch', path: '/var/restored' }, 'vps', paint).join('\n');
  expect(beside).toMatch(
    /beside what runs, in \/var\/restored[\s\S]*on vps as root:\n\s+docker run it\n\s+remove it:\n\s+rm it/,
  );
  const instead = restoredText(
    { ...done, into: 'in-place', path: '/srv', before: '/srv.before', look: [] },
    'vps',
    paint,
  );
  expect(instead.join('\n')).toMatch(
    /what was there before is in \/srv\.before[\s\S]*go back to what was there before, on \S+ as root:\n\s+rm it/,
  );
});
