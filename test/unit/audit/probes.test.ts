import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { dockerBenchFigures, lynisFigures, sshAuditFigures } from '#audit/figures';
import { isShell, parsePasswd } from '#audit/people';
import { commandLineConfig } from '#audit/probes/docker';
import { lastToSet, plainAnswer } from '#audit/probes/fail2ban';
import { policyOf } from '#audit/probes/firewall';
import { offeredMethods } from '#audit/probes/login';
import { installCommand } from '#audit/probes/module';
import { parseShow, unitValue } from '#audit/probes/service';
import { isSame } from '#audit/probes/sysctl';
import { lastValue } from '#audit/probes/systemd';

describe('fail2ban', () => {
  test('what its client draws as a tree is a list', () => {
    expect(plainAnswer('These IP addresses/networks are ignored:\n|- 127.0.0.0/8\n`- ::1\n')).toBe('127.0.0.0/8,::1');
    expect(plainAnswer('The jail sshd has the following actions:\nnftables\n')).toBe('nftables');
    expect(plainAnswer('3600\n')).toBe('3600');
    expect(plainAnswer("Sorry but the jail 'nope' does not exist\n")).toBeUndefined();
    expect(plainAnswer('No IP address/network is ignored\n')).toBe('');
  });

  test('a jail of its own wins over what all share, the last file over the first', () => {
    const files = [
      { path: 'a', content: '[DEFAULT]\nbantime = 1\nmaxretry = 5\n[sshd]\nbantime = 2\n' },
      { path: 'b', content: '[DEFAULT]\nbantime = 3\nmaxretry = 9\n' },
    ];
    expect(lastToSet('sshd', 'bantime', files)).toBe('a');
    expect(lastToSet('sshd', 'maxretry', files)).toBe('b');
    expect(lastToSet('nginx', 'bantime', files)).toBe('b');
    expect(lastToSet('sshd', 'findtime', files)).toBeUndefined();
  });
});

describe('the firewall', () => {
  const saved = ':INPUT DROP [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT DROP [0:0]\n-A ufw-reject-output -j REJECT';

  test('a policy is what happens to a packet that no rule speaks of', () => {
    expect(policyOf(saved, 'INPUT')).toBe('deny');
    expect(policyOf(saved, 'FORWARD')).toBe('allow');
    expect(policyOf(saved, 'OUTPUT')).toBe('reject');
    expect(policyOf('', 'INPUT')).toBeUndefined();
  });
});

test('the methods of a login are those a refused client prints', () => {
  expect(offeredMethods('root@127.0.0.1: Permission denied (publickey,password).')).toEqual(['publickey', 'password']);
  expect(offeredMethods('kex_exchange_identification: Connection closed by remote host')).toBeUndefined();
});

test('the first install line of a module counts, with either dash', () => {
  const files = [
    {
      path: '00',
      content: '# install dccp /bin/false\ninstall usb-storage /sbin/modprobe --ignore-install usb_storage',
    },
    { path: '50', content: 'blacklist dccp\ninstall dccp /bin/false\ninstall usb_storage /bin/false' },
  ];
  expect(installCommand('dccp', files)).toEqual({ path: '50', command: '/bin/false' });
  expect(installCommand('usb_storage', files)?.path).toBe('00');
  expect(installCommand('sctp', files)).toBeUndefined();
});

test('a unit is what it does now, and what it does after a reboot', () => {
  const said = [
    'Id=ssh.service\nLoadState=loaded\nActiveState=active\nUnitFileState=enabled',
    'Id=a.service\nLoadState=masked\nActiveState=inactive\nUnitFileState=masked',
    'Id=b.timer\nLoadState=not-found\nActiveState=inactive\nUnitFileState=',
    'Id=c.service\nLoadState=loaded\nActiveState=failed\nUnitFileState=disabled',
    'Id=d.service\nLoadState=loaded\nActiveState=activating\nUnitFileState=indirect\nExecStart=a=b',
  ].join('\n\n');
  expect(parseShow(`${said}\n`).map(unitValue)).toEqual([
    'active,enabled',
    'inactive,masked',
    'inactive,missing',
    'failed,disabled',
    'active,static',
  ]);
});

test('values of the kernel are compared as numbers where they are numbers', () => {
  fc.assert(
    fc.property(fc.nat(), (value) => {
      expect(isSame(`0x${value.toString(16)}`, String(value))).toBe(true);
      expect(isSame(String(value + 1), String(value))).toBe(false);
    }),
  );
  expect(isSame('', '0')).toBe(false);
  expect(isSame('|/bin/false', '|/bin/false')).toBe(true);
});

test('the last drop-in of systemd counts, and an empty value takes it back', () => {
  const files = [
    { path: 'main', content: '[Journal]\n#Storage=auto\nStorage=auto\n' },
    { path: 'ours', content: '[Journal]\nStorage = persistent\n[Other]\nStorage=none\n' },
  ];
  expect(lastValue('Journal', 'Storage', files)).toEqual({ value: 'persistent', from: 'ours' });
  expect(lastValue('Journal', 'Storage', [...files, { path: 'z', content: '[Journal]\nStorage=' }])).toEqual({});
  expect(lastValue('Journal', 'Seal', files)).toEqual({});
});

test('the command line of dockerd is read as keys of daemon.json', () => {
  const argv = ['/usr/sbin/dockerd', '-H', 'fd://', '--host=tcp://0.0.0.0:2375', '--icc=false', '--live-restore'];
  expect(commandLineConfig(argv)).toEqual({
    hosts: ['fd://', 'tcp://0.0.0.0:2375'],
    icc: 'false',
    'live-restore': 'true',
  });
  expect(commandLineConfig(['/usr/sbin/dockerd'])).toEqual({});
});

test('accounts and who of them can work', () => {
  const [root, nobody] = parsePasswd('root:x:0:0:root:/root:/bin/bash\nnobody:*:65534:65534::/:/usr/sbin/nologin\n\n');
  expect(root).toMatchObject({ name: 'root', uid: 0, home: '/root' });
  expect(nobody).toMatchObject({ password: '*', gid: 65_534 });
  expect(isShell('/bin/bash')).toBe(true);
  expect(isShell('')).toBe(true);
  expect(isShell('/usr/sbin/nologin')).toBe(false);
});

test('the figures of other audits', () => {
  expect(sshAuditFigures('(kex) a -- [info]\n(mac) b -- [fail] x\n       `- [warn] y', 3)).toBe(
    'exit 3, 1 fails, 1 warnings',
  );
  expect(lynisFigures('warning[]=A\nhardening_index=84\nsuggestion[]=B\nsuggestion[]=C')).toBe(
    '84, 1 warnings, 2 suggestions',
  );
  expect(() => lynisFigures('')).toThrow('no report');
  expect(dockerBenchFigures('[PASS] 1.1\n[WARN] 2.1\n[INFO] Score: -3')).toBe('score -3, 1 passed, 1 warnings');
});
