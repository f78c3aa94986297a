import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { command, cronEntry, directory, link, sysctl, systemdUnit } from '#playbook/resources';
import type { Declared } from '#resources/resource';
import { down, type SandboxHost, up } from '#sandbox/sandbox';
import { type OnHost, onHost } from '#test/support/converge';
import { converges, fourPhases, RELEASE, says } from '#test/support/four-phases';

const NAME = 'sys-system';
let sandbox: SandboxHost;
let host: OnHost;

beforeAll(async () => {
  await down([NAME]).catch(() => undefined);
  sandbox = await up({ name: NAME, release: RELEASE });
  host = await onHost(sandbox);
  // cron runs a job at the full minute at best, so it is given the time of all other tests; the app is one of its own.
  await host.sh('apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y cron >/dev/null 2>&1');
  const print = ['sh', '-c', 'printf "%s\\n" "$GREETING" "$@" > /run/cron-said', 'sh'];
  const job = cronEntry({
    name: 'said',
    schedule: '* * * * *',
    command: [...print, ...CRON_WORDS],
    environment: { GREETING: 'hello there' },
  });
  expect((await host.up([job], { app: 'cron' })).error).toBeUndefined();
});

afterAll(async () => {
  await host?.[Symbol.asyncDispose]();
  await down([NAME]);
});

const SLEEPER = `[Service]
ExecStart=/bin/sleep infinity
[Install]
WantedBy=multi-user.target
`;

const CRON_WORDS = ['100%', 'a\\%b', "it's", ' x ', '"$HOME"', '`id`'];

interface Case {
  readonly before?: string;
  readonly resources: readonly Declared[];
  /** Scripts and what they print once it is so. */
  readonly holds: Readonly<Record<string, string>>;
  /** Scripts and what they print once it is no longer declared. */
  readonly afterwards: Readonly<Record<string, string>>;
}

const CASES: Readonly<Record<string, Case>> = {
  'a directory': {
    before: 'mkdir -m 0700 /srv/theirs; mkdir -p /srv/kept',
    resources: [
      directory({ path: '/srv/deep/down', owner: 'www-data', group: 'adm', mode: '0750' }),
      directory({ path: '/srv/kept', mode: '0711' }),
    ],
    holds: {
      'stat -c "%A %U %G" /srv/deep/down': 'drwxr-x--- www-data adm',
      'stat -c %a /srv/kept /srv/theirs': '711\n700',
    },
    afterwards: {
      'ls -d /srv/deep/down /srv/kept': "ls: cannot access '/srv/deep/down': No such file or directory\n/srv/kept",
    },
  },
  'a link': {
    before: 'ln -s /usr/share /srv/link-theirs; ln -s elsewhere /srv/link-stale',
    resources: [
      link({ path: '/srv/links/new', target: '/etc/hostname' }),
      link({ path: '/srv/link-stale', target: '/tmp' }),
    ],
    holds: { 'cat /srv/links/new': NAME, 'readlink /srv/link-stale /srv/link-theirs': '/tmp\n/usr/share' },
    afterwards: { 'test -L /srv/links/new; echo $?': '1', 'readlink /srv/link-theirs': '/usr/share' },
  },
  'a unit of its own': {
    before: 'systemctl mask --runtime sleeper.service',
    resources: [systemdUnit({ name: 'sleeper.service', content: SLEEPER, enabled: true, active: 'started' })],
    holds: {
      'systemctl is-active sleeper; systemctl is-enabled sleeper': 'active\nenabled',
      'cat /proc/$(systemctl show --value -p MainPID sleeper)/comm': 'sleep',
    },
    afterwards: {
      'systemctl show --value -p LoadState,ActiveState sleeper': 'not-found\ninactive',
      'find /etc/systemd/system -name "sleeper*"': '',
    },
  },
  'a unit of a package, changed by a drop-in': {
    before:
      'mkdir -p /etc/systemd/system/ssh.service.d; echo "[Service]\nNice=5" > /etc/systemd/system/ssh.service.d/theirs.conf',
    resources: [
      systemdUnit({ name: 'ssh.service', dropIn: '[Service]\nLimitNOFILE=54321\n', enabled: true, active: 'started' }),
      systemdUnit({ name: 'apt-daily.timer', enabled: true, active: 'started' }),
    ],
    holds: {
      'systemctl show --value -p LimitNOFILE,NeedDaemonReload ssh': '54321\nno',
      'systemctl is-active ssh apt-daily.timer; systemctl is-enabled apt-daily.timer': 'active\nactive\nenabled',
    },
    afterwards: {
      'systemctl is-active ssh; systemctl is-enabled ssh': 'active\nenabled',
      'ls /etc/systemd/system/ssh.service.d; systemctl show --value -p NeedDaemonReload ssh': 'theirs.conf\nno',
    },
  },
  'a unit that should rest': {
    before: `printf '${SLEEPER.replaceAll('\n', '\\n')}' > /etc/systemd/system/theirs.service; systemctl enable --now theirs`,
    resources: [systemdUnit({ name: 'theirs.service', enabled: false, active: 'stopped' })],
    holds: { 'systemctl is-active theirs; systemctl is-enabled theirs': 'inactive\ndisabled' },
    afterwards: { 'ls /etc/systemd/system/theirs.service': '/etc/systemd/system/theirs.service' },
  },
  'values of the kernel': {
    before: `echo 4 > /proc/sys/net/ipv4/tcp_retries2; mkdir -p /etc/ufw
      printf '# theirs\\nnet/ipv4/tcp_syncookies=0\\nnet/ipv4/tcp_sack=1\\n' > /etc/ufw/sysctl.conf`,
    resources: [
      sysctl({ values: { 'net.ipv4.tcp_retries2': 9, 'net.ipv4.tcp_syncookies': 1, 'kernel.kptr_restrict': 2 } }),
    ],
    holds: {
      'cat /proc/sys/net/ipv4/tcp_retries2': '9',
      // As the boot and ufw would apply them.
      'echo 3 > /proc/sys/net/ipv4/tcp_retries2; sysctl -q -e -p /etc/sysctl.d/99-zz-slipway.conf 2>/dev/null; cat /proc/sys/net/ipv4/tcp_retries2':
        '9',
      'cat /etc/ufw/sysctl.conf': '# theirs\nnet/ipv4/tcp_syncookies=1\nnet/ipv4/tcp_sack=1',
    },
    afterwards: {
      'cat /proc/sys/net/ipv4/tcp_retries2': '4',
      'cat /etc/ufw/sysctl.conf; ls /etc/sysctl.d/99-zz-slipway.conf':
        "# theirs\nnet/ipv4/tcp_syncookies=0\nnet/ipv4/tcp_sack=1\nls: cannot access '/etc/sysctl.d/99-zz-slipway.conf': No such file or directory",
    },
  },
  'a job of cron': {
    before: 'mkdir -p /etc/cron.d; echo "# theirs" > /etc/cron.d/theirs',
    resources: [cronEntry({ name: 'ours', schedule: '@daily', command: ['touch', '/run/100%'] })],
    holds: { 'stat -c "%a %U" /etc/cron.d/ours; cat /etc/cron.d/ours': '644 root\n@daily root touch /run/100\\%' },
    afterwards: { 'ls /etc/cron.d/ours /etc/cron.d/theirs 2>/dev/null': '/etc/cron.d/theirs' },
  },
  'a command': {
    resources: [
      command({
        name: 'by path',
        why: 'x',
        command: ['touch', '/srv/made'],
        creates: '/srv/made',
        undo: ['rm', '/srv/made'],
      }),
      command({
        name: 'by check',
        why: 'y',
        command: ['sh', '-c', 'pwd > here'],
        cwd: '/srv',
        check: ['grep', '-q', 'srv', '/srv/here'],
      }),
    ],
    holds: { 'ls /srv/made; cat /srv/here': '/srv/made\n/srv' },
    afterwards: { 'ls /srv/made 2>/dev/null; cat /srv/here': '/srv' },
  },
};

describe.each(Object.entries(CASES))('%s', (_, { before, resources, holds, afterwards }) => {
  test('converges in four phases, seen by other tools', async () => {
    if (before !== undefined) await host.sh(before);
    await fourPhases(host, resources);
    for (const [script, said] of Object.entries(holds)) expect(await says(host, script), script).toBe(said);
  });

  test('goes when it is no longer declared, and leaves what was there before', async () => {
    expect((await host.up([])).error?.message).toBeUndefined();
    for (const [script, said] of Object.entries(afterwards)) expect(await says(host, script), script).toBe(said);
  });
});

test('a directory with something in it stays, and is told', async () => {
  await host.up([directory({ path: '/srv/full' })]);
  await host.sh('echo data > /srv/full/file');
  const { events } = await host.up([]);
  expect(events).toContainEqual(expect.objectContaining({ message: '/srv/full is not empty and stays.' }));
  expect(await says(host, 'cat /srv/full/file')).toBe('data');
});

test('kernel values a container may not set are told by name', async () => {
  const { events, error } = await host.up([
    sysctl({ values: { 'kernel.kptr_restrict': 2, 'net.ipv4.tcp_retries2': 9 } }),
  ]);
  expect(error).toBeUndefined();
  const told = events.filter((event) => JSON.stringify(event).includes('kernel.kptr_restrict'));
  expect(told.some(({ type }) => type === 'warning')).toBe(true);
  await host.up([]);
});

describe('what goes wrong is explained, and the next run goes on', () => {
  test('something else stands where a directory or link should be', async () => {
    await host.sh('echo precious > /srv/taken');
    for (const resource of [directory({ path: '/srv/taken' }), link({ path: '/srv/taken', target: '/tmp' })]) {
      const { error } = await host.up([resource]);
      expect(error?.code).toBe('path-taken');
      expect(await says(host, 'cat /srv/taken')).toBe('precious');
      await host.up([]);
    }
    await host.sh('rm /srv/taken');
    await converges(host, [directory({ path: '/srv/taken' })]);
    await host.up([]);
  });

  test('a unit whose program fails shows what it said', async () => {
    const unit = (script: string) =>
      systemdUnit({
        name: 'broken.service',
        content: `[Service]\nExecStart=/bin/sh -c '${script}'\n`,
        active: 'started',
      });
    const { error } = await host.up([unit('echo the disk is on fire; exit 3')]);
    expect(error).toMatchObject({ code: 'unit-failed', resource: 'systemd-unit:broken.service' });
    expect(error?.message).toContain('the disk is on fire');
    await converges(host, [unit('exec sleep 1000')]);
    await host.up([]);
  });

  test('a unit whose port is taken says by whom', async () => {
    // In the words of Node, whose error names the port.
    const listen = `use IO::Socket::INET; $s = IO::Socket::INET->new(Listen => 1, LocalPort => 8088)
      or die "listen EADDRINUSE: address already in use :::8088\\n"; sleep`;
    await host.sh(
      `cat > /usr/local/bin/listen <<'END'\n#!/usr/bin/perl\n${listen}\nEND\nchmod +x /usr/local/bin/listen`,
    );
    await host.sh('systemd-run -q --unit=squatter /usr/local/bin/listen');
    await expect.poll(() => says(host, 'ss -Hltn sport = :8088 | wc -l')).toBe('1');
    const unit = systemdUnit({
      name: 'listener.service',
      content: '[Service]\nExecStart=/usr/local/bin/listen\n',
      active: 'started',
    });
    const { error } = await host.up([unit]);
    expect(error?.code).toBe('port-taken');
    expect(error?.message).toMatch(/^listener\.service did not start: port 8088 is taken by listen \(pid \d+\)\.$/);
    await host.sh('systemctl stop squatter');
    await converges(host, [unit]);
    await host.up([]);
  });

  test('a unit whose conditions this host does not meet', async () => {
    const content = '[Unit]\nConditionPathExists=/nowhere\n[Service]\nExecStart=/bin/sleep infinity\n';
    const { error } = await host.up([systemdUnit({ name: 'picky.service', content, active: 'started' })]);
    expect(error).toMatchObject({ code: 'unit-failed', resource: 'systemd-unit:picky.service' });
    expect(error?.message).toContain('conditions are not met');
    await host.up([]);
  });

  test('a unit that no package brings', async () => {
    const { error } = await host.up([systemdUnit({ name: 'nowhere.service', active: 'started' })]);
    expect(error).toMatchObject({ code: 'unit-failed', message: 'The host has no unit nowhere.service.' });
    await host.up([]);
  });

  test('a value that the kernel refuses', async () => {
    const { error } = await host.up([sysctl({ values: { 'net.ipv4.tcp_retries2': 'many' } })]);
    expect(error?.code).toBe('sysctl-refused');
    expect(error?.message).toContain('/proc/sys/net/ipv4/tcp_retries2');
    await converges(host, [sysctl({ values: { 'net.ipv4.tcp_retries2': 7 } })]);
    await host.up([]);
  });

  test('a command that fails', async () => {
    const { error } = await host.up([
      command({ name: 'bad', why: 'x', command: ['sh', '-c', 'echo no luck >&2; exit 4'], creates: '/srv/never' }),
    ]);
    expect(error).toMatchObject({ code: 'command-failed', resource: 'command:bad' });
    expect(error?.message).toContain('no luck');
    await host.up([]);
  });
});

const scripts = (...all: readonly string[]) => fc.constantFrom('true', ...all);

test('from whatever state, one apply converges and the next changes nothing', async () => {
  const dirt = fc.record({
    directory: scripts('mkdir -p -m 0777 /srv/p', 'mkdir -p /srv/p; chown 12345:nogroup /srv/p', 'rm -rf /srv/p'),
    link: scripts('ln -sfn /nowhere /srv/l', 'ln -sfn /srv/p /srv/l', 'rm -f /srv/l'),
    unit: scripts(
      'systemctl mask sleeper',
      'systemctl stop sleeper',
      'systemctl disable sleeper',
      'systemctl kill --signal=KILL sleeper',
      'rm -f /etc/systemd/system/sleeper.service; systemctl daemon-reload',
      'echo "# x" >> /etc/systemd/system/sleeper.service',
      'mkdir -p /etc/systemd/system/sleeper.service.d; echo "[Service]" > /etc/systemd/system/sleeper.service.d/50-slipway.conf',
    ),
    sysctl: scripts(
      'echo 5 > /proc/sys/net/ipv4/tcp_retries2',
      'rm -f /etc/sysctl.d/99-zz-slipway.conf',
      'rm -rf /etc/ufw',
    ),
    cron: scripts('rm -f /etc/cron.d/ours', 'chmod 666 /etc/cron.d/ours', 'echo x > /etc/cron.d/ours'),
    retries: fc.integer({ min: 3, max: 15 }),
    mode: fc.constantFrom('0700', '0750', '0755'),
    enabled: fc.boolean(),
    active: fc.constantFrom('started' as const, 'stopped' as const),
    dropIn: fc.boolean(),
  });
  await fc.assert(
    fc.asyncProperty(dirt, async ({ retries, mode, enabled, active, dropIn, ...soil }) => {
      await host.sh(Object.values(soil).join('\n'));
      await converges(host, [
        directory({ path: '/srv/p', owner: 'www-data', mode }),
        link({ path: '/srv/l', target: '/srv/p' }),
        systemdUnit({
          name: 'sleeper.service',
          content: SLEEPER,
          enabled,
          active,
          ...(dropIn ? { dropIn: '[Service]\nNice=3\n' } : {}),
        }),
        sysctl({ values: { 'net.ipv4.tcp_retries2': retries, 'net.ipv4.tcp_syncookies': 1 } }),
        cronEntry({ name: 'ours', schedule: '@daily', command: ['true'] }),
      ]);
    }),
    { numRuns: 8 },
  );
  await host.up([]);
});

test('a job of cron is run by cron, with its arguments unchanged', async () => {
  const said = ['hello there', ...CRON_WORDS].join('\n');
  await expect.poll(() => says(host, 'cat /run/cron-said'), { timeout: 90_000, interval: 1000 }).toBe(said);
});
