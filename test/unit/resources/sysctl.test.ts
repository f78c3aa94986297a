import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { rememberedValues, sysctlKind, ufwText } from '#resources/sysctl';
import { isReadOnly, normalValue, parseAssignments, procPath } from '#resources/sysctl-keys';

test.each([
  ['net.ipv4.tcp_syncookies', '/proc/sys/net/ipv4/tcp_syncookies'],
  ['net/ipv4/conf/eth0.100/rp_filter', '/proc/sys/net/ipv4/conf/eth0.100/rp_filter'],
  ['net.ipv4.conf.eth0/100.rp_filter', '/proc/sys/net/ipv4/conf/eth0.100/rp_filter'],
])('%s is shown at %s', (key, path) => {
  expect(procPath(key)).toBe(path);
});

test('a read-only mount is seen, and what is mounted writable below it', () => {
  const mounts = [
    '20 1 0:20 / /proc rw,nosuid - proc proc rw',
    '21 20 0:20 /sys /proc/sys ro,nosuid - proc proc rw',
    '22 21 0:20 /sys/net /proc/sys/net rw,nosuid - proc proc rw',
  ].join('\n');
  expect(isReadOnly(mounts, '/proc/sys/kernel/kptr_restrict')).toBe(true);
  expect(isReadOnly(mounts, '/proc/sys/net/ipv4/ip_forward')).toBe(false);
  expect(isReadOnly(mounts, '/proc/sysrq-trigger')).toBe(false);
});

test('assignments are read as sysctl reads them', () => {
  const text = '# a = 1\n; b = 2\n-net.ipv4.x = 3 \nnet/ipv4/y=4\nkernel.printk = 4\t4 1 7\nempty\n';
  expect([...parseAssignments(text)]).toEqual([
    ['/proc/sys/net/ipv4/x', '3'],
    ['/proc/sys/net/ipv4/y', '4'],
    ['/proc/sys/kernel/printk', '4 4 1 7'],
  ]);
});

test('values that are as declared differ in nothing, whatever they were before', async () => {
  const values = fc.dictionary(fc.constantFrom('net.ipv4.a', 'net.ipv4.b', 'vm.c'), fc.nat(9));
  await fc.assert(
    fc.property(values, values, (values, before) => {
      const content = [
        ...Object.entries(before).map(([key, value]) => `# before Slipway: ${key} = ${value}\n`),
        ...Object.entries(values).map(([key, value]) => `${key} = ${value}\n`),
      ].join('');
      const file = {
        type: 'file',
        mode: '0644',
        owner: 'root',
        group: 'root',
        size: 1,
        content: content || '\n',
      } as const;
      const live = Object.fromEntries(Object.entries(values).map(([key, value]) => [key, String(value)]));
      const props = sysctlKind.props.parse({ values });
      if (Object.keys(values).length > 0)
        expect(sysctlKind.diff({ file, live, ufw: undefined, skipped: [] }, props)).toEqual([]);
      expect(rememberedValues(content).size).toBe(Object.keys(before).length);
    }),
  );
});

test('a value that this machine may not set is no difference', () => {
  const props = sysctlKind.props.parse({ values: { 'kernel.kptr_restrict': 2, 'net.ipv4.ip_forward': 1 } });
  const content = 'kernel.kptr_restrict = 2\nnet.ipv4.ip_forward = 1\n';
  const file = { type: 'file', mode: '0644', owner: 'root', group: 'root', size: 1, content } as const;
  expect(sysctlKind.diff({ file, live: { 'net.ipv4.ip_forward': '0' }, ufw: undefined, skipped: [] }, props)).toEqual([
    { summary: 'net.ipv4.ip_forward 0 -> 1' },
  ]);
});

test('ufw is made to agree, and only where it does not', () => {
  const text = '# head\nnet/ipv4/conf/all/log_martians=0\n#net/ipv4/ip_forward=1\nnet/ipv4/tcp_sack=1\n';
  expect(ufwText(text, { 'net.ipv4.conf.all.log_martians': 1, 'net.ipv4.ip_forward': 1 })).toBe(
    '# head\nnet/ipv4/conf/all/log_martians=1\n#net/ipv4/ip_forward=1\nnet/ipv4/tcp_sack=1\n',
  );
  expect(ufwText(text, { 'net.ipv4.tcp_sack': 1 })).toBeUndefined();
});

test('several numbers are apart by one space', () => {
  expect(normalValue('4096\t87380  6291456\n')).toBe('4096 87380 6291456');
});

test('a value that the kernel keeps until the next boot is no difference meanwhile', () => {
  const props = sysctlKind.props.parse({ values: { 'kernel.kexec_load_disabled': 0 } });
  const file = { type: 'file', mode: '0644', owner: 'root', group: 'root', size: 1 } as const;
  const state = { file: { ...file, content: 'kernel.kexec_load_disabled = 0\n' }, ufw: undefined, skipped: [] };
  expect(sysctlKind.diff({ ...state, live: { 'kernel.kexec_load_disabled': '1' } }, props)).toEqual([]);
  const other = sysctlKind.props.parse({ values: { 'kernel.sysrq': 0 } });
  const live = { ...state, file: { ...file, content: 'kernel.sysrq = 0\n' }, live: { 'kernel.sysrq': '1' } };
  expect(sysctlKind.diff(live, other)).toEqual([{ summary: 'kernel.sysrq 1 -> 0' }]);
});
