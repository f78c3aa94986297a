import { execFileSync } from 'node:child_process';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { isSchedule } from '#core/cron-schedule';
import { cronCommand, cronEntryKind, cronText } from '#resources/cron-entry';

test.each(['0 2 * * *', '*/5 0-6,22-23 1,15 jan-mar mon', '0 0 * * 7', '@daily', '0-30/10 * * * *', ' 5  4 * * sun '])(
  'cron takes %s',
  (schedule) => {
    expect(isSchedule(schedule)).toBe(true);
  },
);

test.each([
  ...['', '* * * *', '60 * * * *', '* 24 * * *', '* * 0 * *', '* * * 13 *', '* * * * 8', '*/0 * * * *', '5/2 * * * *'],
  ...['@often', '30-10 * * * *', '* * * * * root', 'a * * * *', '1,,2 * * * *', '* * * foo *', '1-2-3 * * * *'],
])('cron does not take “%s”', (schedule) => {
  expect(isSchedule(schedule)).toBe(false);
});

// What Debian's cron does to a command before its shell reads it (crontab(5)): a backslash before a percent sign goes.
function asCronHandsOn(command: string): string {
  let text = '';
  let escaped = false;
  for (const char of command) {
    if (escaped) {
      text = char === '%' ? `${text.slice(0, -1)}%` : text + char;
      escaped = false;
    } else {
      if (char === '%') throw new Error('cron would break the line here');
      escaped = char === '\\';
      text += char;
    }
  }
  return text;
}

test('whatever the arguments are, cron and its shell hand them on unchanged', async () => {
  const word = fc.string({ unit: fc.constantFrom('%', '\\', "'", '"', ' ', '$', 'a', '`', '*', '~'), maxLength: 8 });
  await fc.assert(
    fc.property(fc.array(word, { minLength: 1, maxLength: 4 }), (words) => {
      const line = asCronHandsOn(cronCommand(['printf', '%s\\n', ...words]));
      expect(execFileSync('/bin/sh', ['-c', line]).toString()).toBe(`${words.join('\n')}\n`);
    }),
    { numRuns: 40 },
  );
});

test('a file of cron ends with a line break and has its variables first', () => {
  const props = cronEntryKind.props.parse({
    name: 'renew',
    schedule: '17 3 * * *',
    command: ['/opt/renew', '--now'],
    environment: { PATH: '/usr/bin:/bin', NOTE: 'say "x"' },
  });
  expect(cronText(props)).toBe(`PATH="/usr/bin:/bin"\nNOTE='say "x"'\n17 3 * * * root /opt/renew --now\n`);
});

test('what cron would not read, or read as something else, is refused', () => {
  const parse = (props: object) =>
    cronEntryKind.props.safeParse({ name: 'x', schedule: '@daily', command: ['true'], ...props }).success;
  expect(parse({})).toBe(true);
  for (const name of ['a.b', 'a b', '../x', 'x~', '']) expect(parse({ name }), name).toBe(false);
  expect(parse({ command: ['a\nb'] })).toBe(false);
  expect(parse({ command: ['x'.repeat(1000)] })).toBe(false);
  expect(parse({ user: 'root; x' })).toBe(false);
  expect(parse({ environment: { A: 'x\ny' } })).toBe(false);
  expect(parse({ environment: { 'A B': 'x' } })).toBe(false);
});
