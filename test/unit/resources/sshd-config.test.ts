import { expect, test } from 'vitest';
import { mergedConfig, sshdConfigKind } from '#resources/sshd-config';
import { firstToSet, parseEffective, unknownOptions } from '#resources/sshd-options';

const props = sshdConfigKind.props.parse({ settings: { PasswordAuthentication: false } });
const file = { type: 'file', mode: '0600', owner: 'root', group: 'root', size: 1 } as const;
const content = 'PasswordAuthentication no\n';

test('what sshd says is in effect decides, and who says otherwise is named', () => {
  const state = { file: { ...file, content }, content, differences: [] };
  expect(sshdConfigKind.diff(state, props)).toEqual([]);
  const from = '/etc/ssh/sshd_config.d/00-cloud.conf';
  const differences = [{ option: 'passwordauthentication', effective: 'yes', wanted: 'no', from }];
  expect(sshdConfigKind.diff({ ...state, differences }, props)).toEqual([
    { summary: `passwordauthentication: yes (set by ${from}) -> no` },
  ]);
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
  expect(firstToSet('permitrootlogin', files)).toBe('b');
  expect(firstToSet('usedns', files)).toBeUndefined();
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
