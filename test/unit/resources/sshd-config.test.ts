import { expect, test } from 'vitest';
import { obstacle } from '#resources/sshd-access';
import { sshdConfigKind } from '#resources/sshd-config';
import { firstToMatch, firstToSet, hasMatch, mergedConfig } from '#resources/sshd-files';
import { parseEffective, unknownOptions } from '#resources/sshd-options';

const props = sshdConfigKind.props.parse({ settings: { PasswordAuthentication: false } });
const file = { type: 'file', mode: '0600', owner: 'root', group: 'root', size: 1 } as const;
const content = 'PasswordAuthentication no\n';

test('what sshd says is in effect decides, and who says otherwise is named', () => {
  const state = { file: { ...file, content }, content, differences: [] };
  expect(sshdConfigKind.diff(state, props)).toEqual([]);
  const from = { path: '/etc/ssh/sshd_config.d/00-cloud.conf', line: 3 };
  const differences = [{ option: 'passwordauthentication', effective: 'yes', wanted: 'no', from }];
  expect(sshdConfigKind.diff({ ...state, differences }, props)).toEqual([
    { summary: `passwordauthentication: yes (set by ${from.path}:3) -> no` },
  ]);
  expect(sshdConfigKind.foresee?.({ ...state, differences }, props)).toMatchObject({
    code: 'sshd-overridden',
    hint: `Remove the line from ${from.path}:3 on the host, then run the same command again.`,
  });
});

test('effective values of one option are one text, in no order', () => {
  const effective = parseEffective('port 22\nallowusers root\nallowusers deploy\nprintmotd no\n');
  expect(effective.get('allowusers')).toBe('deploy\nroot');
  expect(effective.get('port')).toBe('22');
});

test('options that sshd does not know are found in what it says', () => {
  const said =
    'command line line 0: Bad configuration option: PerSourcePenalties\ncommand line: line 0: Bad configuration option: Nope';
  expect(unknownOptions(said)).toEqual(new Set(['persourcepenalties', 'nope']));
});

test('the first file that sets an option outside of a Match block is found', () => {
  const files = [
    { path: 'a', content: '# PermitRootLogin no\nMatch User x\n  PermitRootLogin no\n' },
    { path: 'b', content: 'permitrootlogin=yes\n' },
    { path: 'c', content: 'PermitRootLogin no\n' },
  ];
  expect(firstToSet('permitrootlogin', files)).toEqual({ path: 'b', line: 1 });
  expect(firstToSet('usedns', files)).toBeUndefined();
  expect(firstToMatch('permitrootlogin', files)).toEqual({ path: 'a', line: 3, match: 'User x' });
  expect(hasMatch(files)).toBe(true);
  expect(hasMatch(files.slice(1))).toBe(false);
  const behind = [{ path: 'main', content: 'Include x\nPort 22\n', firstLine: 7 }];
  expect(firstToSet('port', behind)).toEqual({ path: 'main', line: 8 });
});

test('a candidate is checked in the place of the file it becomes', () => {
  const main = '# head\nInclude /etc/ssh/sshd_config.d/*.conf\nUsePAM yes\n';
  expect(mergedConfig(main, ['/run/a', '/etc/b'])).toBe('# head\nInclude /run/a\nInclude /etc/b\nUsePAM yes\n');
});

test('options are spelt as in the manual', () => {
  for (const option of ['permitRootLogin', 'Permit Root', 'X\nY']) {
    expect(sshdConfigKind.props.safeParse({ settings: { [option]: 'no' } }).success, option).toBe(false);
  }
  expect(sshdConfigKind.props.safeParse({ settings: { Banner: 'a\nPermitRootLogin yes' } }).success).toBe(false);
});

test.each([
  ['usepam yes', undefined],
  ['allowusers alice\nallowusers deploy', undefined],
  ['allowusers alice', 'allowusers'],
  ['allowusers dep*@198.51.100.*', undefined],
  ['allowusers deploy@203.0.113.*', 'allowusers'],
  ['allowusers deploy@203.0.113.0/24', undefined],
  ['denyusers deploy@203.0.113.*', undefined],
  ['denyusers d?ploy', 'denyusers'],
  ['allowgroups sudo wheel', 'allowgroups'],
  ['allowgroups sudo\nallowgroups crew', undefined],
  ['denygroups crew', 'denygroups'],
  ['authorizedkeysfile .ssh/authorized_keys .ssh/authorized_keys2', undefined],
  ['authorizedkeysfile /etc/ssh/keys/%u', 'authorizedkeysfile'],
  ['authenticationmethods any', undefined],
  ['authenticationmethods publickey,password publickey', undefined],
  ['authenticationmethods publickey,keyboard-interactive', 'authenticationmethods'],
])('who would be refused is known before sshd is asked to: %s', (effective, option) => {
  const visitor = { user: 'deploy', groups: ['deploy', 'crew'], address: '198.51.100.7' };
  expect(obstacle(parseEffective(effective), visitor)?.option).toBe(option);
});
