import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { fail2banJailKind, renderJail } from '#resources/fail2ban-jail';

const file = { type: 'file', mode: '0644', owner: 'root', group: 'root', size: 1 } as const;

test('a jail is written as jail.conf(5) wants it', () => {
  const props = fail2banJailKind.props.parse({
    name: 'sshd',
    options: { enabled: true, maxretry: 5, ignoreip: ['127.0.0.1/8', '::1'], action: 'one\ntwo' },
  });
  expect(renderJail(props)).toBe(
    '[sshd]\nenabled = true\nmaxretry = 5\nignoreip = 127.0.0.1/8\n    ::1\naction = one\n    two\n',
  );
});

test('a jail as declared in a running fail2ban differs in nothing', async () => {
  const value = fc.oneof(fc.string(), fc.integer(), fc.boolean(), fc.array(fc.string()));
  await fc.assert(
    fc.property(fc.dictionary(fc.constantFrom('enabled', 'bantime', 'bantime.increment'), value), (options) => {
      const props = fail2banJailKind.props.parse({ name: 'DEFAULT', options });
      const state = { file: { ...file, content: renderJail(props) }, active: true };
      expect(fail2banJailKind.diff(state, props)).toEqual([]);
      expect(fail2banJailKind.diff({ ...state, active: false }, props)).toEqual([{ summary: 'start fail2ban' }]);
    }),
  );
});

test.each(['../x', 'a b', ''])('%j is no name of a jail', (name) => {
  expect(fail2banJailKind.props.safeParse({ name, options: {} }).success).toBe(false);
});
