import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { down, run as runInside, type SandboxHost, up } from '#sandbox/sandbox';
import { type CliRun, deploy } from '#test/support/cli';
import { makeProject } from '#test/support/project';

const NAME = 'au-audit';
const project = makeProject();
let host: SandboxHost;

interface Reported {
  readonly id: string;
  readonly status: 'passed' | 'finding' | 'accepted' | 'unknown';
  readonly value?: string;
  readonly from?: string;
  readonly why: string;
}

const inventory = (rest: Record<string, unknown> = {}) => ({
  app: 'shop',
  hosts: { vps: { address: host.address, identityFile: host.keyFile, user: host.user } },
  ...rest,
});

const deployHere = (...argv: string[]) => deploy([...argv, '--project', project.folder]);

async function inside(script: string): Promise<string> {
  const { stdout, stderr, exitCode } = await runInside(NAME, ['sh', '-ec', script]);
  expect(exitCode, `${script}\n${stderr}`).toBe(0);
  return stdout;
}

function reported({ stdout, stderr }: CliRun): readonly Reported[] {
  const line = stdout.split('\n').find((text) => text.startsWith('{"type":"audit"'));
  expect(line, stderr).toBeDefined();
  return (JSON.parse(line ?? '') as { controls: readonly Reported[] }).controls;
}

/** The findings of an audit, by id. */
async function findings(): Promise<ReadonlyMap<string, Reported>> {
  const run = await deployHere('audit', 'prod', '--json');
  const found = reported(run).filter(({ status }) => status === 'finding');
  expect(run.code).toBe(found.length === 0 ? 0 : 3);
  return new Map(found.map((one) => [one.id, one]));
}

/** What lies on the host where an audit could leave something; what runs there goes on writing elsewhere. */
const traces = () =>
  inside(
    `find /etc /usr /opt /root /home /var/lib/slipway /var/log/slipway /var/spool -xdev -printf '%p %m %u %s %T@\\n' | sort`,
  );

beforeAll(async () => {
  await down([NAME]).catch(() => undefined);
  host = await up({ name: NAME, aptCache: true, equipped: true });
  project.write('prod', inventory());
  const brought = await deployHere('up', 'prod');
  expect(brought.code, brought.stderr).toBe(0);
});

afterAll(async () => {
  await down([NAME]);
});

describe('a host as `deploy up` leaves it', () => {
  test('has no findings, and most of it could be known', async () => {
    const run = await deployHere('audit', 'prod', '--json');
    const controls = reported(run);
    const of = (status: string) => controls.filter((one) => one.status === status).map(({ id }) => id);
    expect(of('finding')).toEqual([]);
    expect(run.code).toBe(0);
    expect(of('passed').length).toBeGreaterThan(100);
    // A container shares the kernel of the machine it runs on: nothing else is hidden here.
    expect(of('unknown').filter((id) => !/^(?:kernel|fs|dev|net-core)-/.test(id))).toEqual([]);
  });

  test('has the same files afterwards, and nobody else has to wait', async () => {
    const before = await traces();
    await inside(`nohup flock /run/slipway/operation.lock sleep 60 > /dev/null 2>&1 &`);
    expect([...(await findings()).keys()]).toEqual([]);
    expect(await traces()).toBe(before);
    expect((await deployHere('up', 'prod')).code).toBe(5);
    await inside('pkill -x sleep');
  });

  test('is told as one summary, with every control where asked', async () => {
    const brief = await deployHere('audit', 'prod');
    expect(brief.stdout).toMatch(/✓ \d+ controls: \d+ as they should be, no findings/);
    expect(brief.stdout).not.toContain('ssh-permit-root-login');
    const all = await deployHere('audit', 'prod', '--all');
    expect(all.stdout).toContain('ssh-permit-root-login');
  });
});

/** One thing changed by hand. */
interface Tampering {
  readonly what: string;
  readonly script: string;
  /** The controls that have to notice. */
  readonly ids: readonly string[];
  /** The file that is to blame. */
  readonly from?: string;
  /** What a person has to take back; all else `deploy up` mends. */
  readonly undo?: string;
}

const ROOM = '/etc/ssh/sshd_config.d';

const TAMPERINGS: readonly Tampering[] = [
  {
    what: 'a drop-in of an image before ours',
    script: `printf 'PasswordAuthentication yes\\nMaxAuthTries 9\\nMatch all\\nPasswordAuthentication yes\\n' > ${ROOM}/00-image.conf; systemctl reload ssh`,
    ids: ['ssh-password-authentication', 'account-password-login', 'ssh-max-auth-tries'],
    from: `${ROOM}/00-image.conf`,
    undo: `rm ${ROOM}/00-image.conf; systemctl reload ssh`,
  },
  {
    what: 'a Match block behind ours',
    script: `printf 'MaxSessions 99\\nMatch User root\\n  X11Forwarding yes\\n' > ${ROOM}/01-hostile.conf`,
    ids: ['ssh-x11-forwarding'],
    from: `${ROOM}/01-hostile.conf`,
    undo: `rm ${ROOM}/01-hostile.conf`,
  },
  {
    what: 'a kernel value set by hand',
    script: 'echo 1 > /proc/sys/net/ipv4/conf/all/send_redirects',
    ids: ['net-ipv4-conf-all-send-redirects'],
  },
  {
    what: 'a kernel value that the next boot would bring',
    script: 'echo net.ipv4.tcp_syncookies=0 > /etc/sysctl.d/99-zzz-image.conf',
    ids: ['net-ipv4-tcp-syncookies'],
    from: '/etc/sysctl.d/99-zzz-image.conf',
    undo: 'rm /etc/sysctl.d/99-zzz-image.conf',
  },
  {
    what: 'updates switched off in another file',
    script: `echo 'APT { Periodic { Unattended-Upgrade "0"; }; };' > /etc/apt/apt.conf.d/99local`,
    ids: ['updates-unattended-upgrade'],
    from: '/etc/apt/apt.conf.d/99local',
    undo: 'rm /etc/apt/apt.conf.d/99local',
  },
  {
    what: 'a timer masked',
    script: 'systemctl mask --quiet --now apt-daily.timer',
    ids: ['updates-apt-daily-timer'],
    from: '/etc/systemd/system/apt-daily.timer',
  },
  {
    what: 'a timer stopped',
    script: 'systemctl stop apt-daily-upgrade.timer',
    ids: ['updates-apt-daily-upgrade-timer'],
  },
  {
    what: 'the firewall off, and something listening',
    script:
      'ufw disable > /dev/null; systemd-run --quiet --unit=audit-open --socket-property=ListenStream=6379 sleep infinity',
    ids: ['firewall-active', 'firewall-boot', 'firewall-incoming', 'firewall-ipv6', 'outside-tcp4', 'outside-tcp6'],
    undo: 'systemctl stop audit-open.socket audit-open.service',
  },
  {
    what: 'our packet filter emptied',
    script: 'nft flush table inet slipway',
    ids: ['firewall-containers'],
    from: '/etc/slipway/nftables/slipway.nft',
  },
  { what: 'fail2ban stopped', script: 'systemctl stop fail2ban', ids: ['bans-service', 'bans-sshd'] },
  {
    what: 'a module let in again',
    script: `echo 'install usb-storage /sbin/modprobe --ignore-install usb-storage' > /etc/modprobe.d/00-image.conf`,
    ids: ['module-usb-storage'],
    from: '/etc/modprobe.d/00-image.conf',
    undo: 'rm /etc/modprobe.d/00-image.conf',
  },
  {
    what: 'the block of a module removed',
    script: `sed -i '/dccp/d' /etc/modprobe.d/slipway.conf`,
    ids: ['module-dccp'],
  },
  {
    what: 'an account without a password, in the group docker',
    script: 'useradd --groups docker guest; passwd --quiet --delete guest',
    ids: ['account-empty-passwords', 'account-docker-group'],
    undo: 'userdel guest',
  },
  {
    what: 'a second root',
    script: `echo 'toor:x:0:0::/root:/bin/bash' >> /etc/passwd`,
    ids: ['account-uid-0'],
    from: '/etc/passwd',
    undo: `sed -i '/^toor:/d' /etc/passwd`,
  },
  {
    what: 'another configuration of Docker',
    script: `sed -i 's/"live-restore": true/"live-restore": false/; s/"log-driver": "local"/"log-driver": "json-file"/' /etc/docker/daemon.json; systemctl restart docker; systemctl reset-failed docker`,
    ids: ['docker-live-restore', 'docker-logs'],
    from: '/etc/docker/daemon.json',
  },
  {
    what: "a privileged container that holds the engine's socket",
    script: `files=$(ldd /bin/sleep | grep -o '/[^ ]*'); tar -c --dereference -C / $(printf '%s\\n' /bin/sleep $files | sed 's,^/,,') | docker import - audit/sleep > /dev/null; docker run --detach --name audit-sleep --privileged --volume /run/docker.sock:/run/docker.sock audit/sleep /bin/sleep infinity > /dev/null`,
    ids: ['docker-privileged', 'docker-socket-mounts'],
    undo: 'docker rm --force audit-sleep > /dev/null; docker image rm audit/sleep > /dev/null',
  },
  {
    what: 'a journal without bounds',
    script: `printf '[Journal]\\nSystemMaxUse=90%%\\n' > /etc/systemd/journald.conf.d/99-image.conf`,
    ids: ['journal-bounds'],
    from: '/etc/systemd/journald.conf.d/99-image.conf',
    undo: 'rm /etc/systemd/journald.conf.d/99-image.conf',
  },
  {
    what: 'memory images for logins',
    script: 'rm /etc/security/limits.d/50-slipway.conf',
    ids: ['core-dumps-limits'],
  },
  {
    what: 'passwords for all to read',
    script: 'chmod 0644 /etc/shadow',
    ids: ['permissions-etc-shadow'],
    undo: 'chmod 0640 /etc/shadow',
  },
  { what: 'jobs for all to read', script: 'chmod 0755 /etc/cron.d', ids: ['permissions-etc-cron-d'] },
];

describe('a host changed by hand', () => {
  test('each change is named, with the file that is to blame', async () => {
    for (const { script } of TAMPERINGS) await inside(script);
    const found = await findings();
    for (const { what, ids, from } of TAMPERINGS) {
      for (const id of ids) expect([...found.keys()], what).toContain(id);
      if (from !== undefined) expect(found.get(ids[0] ?? '')?.from, what).toContain(from);
    }
    expect(found.get('outside-tcp4')?.value).toContain('6379');
    expect(found.get('outside-tcp6')?.value).toContain('6379');
    // What stands behind ours outside a Match block does not count, and so is no finding.
    expect([...found.keys()]).not.toContain('ssh-max-sessions');
    // Beside these only what follows from them: nothing else has changed.
    const ids = new Set(TAMPERINGS.flatMap((one) => one.ids));
    const besides = [...found.keys()].filter((id) => !ids.has(id));
    expect(besides.filter((id) => !/^(?:bans|firewall)-/.test(id))).toEqual([]);
  });

  test('what is wanted is accepted with its reason, and an unknown name is an error', async () => {
    project.write('prod', inventory({ audit: { accept: { 'account-uid-0': 'the console of the provider' } } }));
    const run = await deployHere('audit', 'prod', '--json');
    const accepted = reported(run).find(({ id }) => id === 'account-uid-0');
    expect(accepted).toMatchObject({ status: 'accepted', why: 'the console of the provider' });
    expect(run.code).toBe(3);
    const told = await deployHere('audit', 'prod');
    expect(told.stdout).toContain('~ account-uid-0: the console of the provider');
    expect(told.stdout).toMatch(/✗ critical {2}root is|✗ critical/);
    project.write('prod', inventory({ audit: { accept: { 'account-uid-1': 'a slip of the pen' } } }));
    const refused = await deployHere('audit', 'prod');
    expect(refused.code).toBe(2);
    expect(refused.stderr).toContain('account-uid-1');
    project.write('prod', inventory());
  });

  test('after what is not ours was taken back, one `deploy up` leaves no finding', async () => {
    for (const { undo } of TAMPERINGS) if (undo !== undefined) await inside(undo);
    const mended = await deployHere('up', 'prod');
    expect(mended.code, mended.stderr).toBe(0);
    expect([...(await findings()).values()]).toEqual([]);
  });

  test('what can no longer be looked up is a finding, and spoils nothing else', async () => {
    await inside('echo "{" > /etc/apt/apt.conf.d/98broken');
    const found = await findings();
    await inside('rm /etc/apt/apt.conf.d/98broken');
    expect([...found.keys()]).toContain('updates-unattended-upgrade');
    expect([...found.values()].every(({ why }) => why.includes('apt-config dump'))).toBe(true);
  });

  test('the tools of others run where they are installed, and their figures are kept', async () => {
    await inside(
      'export DEBIAN_FRONTEND=noninteractive; apt-get update -qq; apt-get install -y -qq --no-install-recommends ssh-audit lynis',
    );
    const { stdout } = await deployHere('audit', 'prod', '--tools', '--json');
    const { tools } = JSON.parse(stdout) as { tools: { tool: string; value?: string; cannot?: string }[] };
    expect(tools).toMatchObject([
      { tool: 'ssh-audit', value: 'exit 0, 0 fails, 0 warnings' },
      { tool: 'lynis', value: expect.stringMatching(/^\d+, \d+ warnings, \d+ suggestions$/) },
      { tool: 'docker-bench', cannot: expect.stringContaining('not installed') },
    ]);
    const kept = await inside('cat /var/lib/slipway/audit/lynis.json');
    expect(JSON.parse(kept)).toMatchObject({ value: tools[1]?.value });
    // A plain Debian has 58 to 60.
    expect(Number.parseInt(tools[1]?.value ?? '', 10)).toBeGreaterThanOrEqual(75);
  });

  test('a host that does not answer is told beside the others', async () => {
    const hosts = { ...inventory().hosts, gone: { address: '127.0.0.1', port: 9 } };
    project.write('two', { ...inventory(), hosts });
    const run = await deployHere('audit', 'two', '--json');
    expect(run.code).toBe(6);
    expect(reported(run).filter(({ status }) => status === 'finding')).toEqual([]);
    expect(run.stdout).toContain('"code":"host-unreachable"');
  });

  test.each([
    {
      script: `printf 'Match all\\nPermitRootLogin yes\\n' > ${ROOM}/00-image.conf`,
      undo: `rm ${ROOM}/00-image.conf`,
      id: 'ssh-permit-root-login',
      from: `${ROOM}/00-image.conf:2`,
    },
    {
      script: 'chmod 0700 /etc/sudoers',
      undo: 'chmod 0440 /etc/sudoers',
      id: 'permissions-etc-sudoers',
      from: undefined,
    },
    {
      script: 'ufw default allow incoming',
      undo: 'ufw default deny incoming',
      id: 'firewall-incoming',
      from: '/etc/default/ufw',
    },
    {
      script: 'nft delete table inet slipway',
      undo: 'systemctl restart slipway-nft-slipway',
      id: 'firewall-containers',
      from: '/etc/slipway/nftables/slipway.nft',
    },
  ])('$id alone after: $script', async ({ script, undo, id, from }) => {
    await inside(script);
    const found = await findings();
    await inside(undo);
    expect([...found.values()].map((one) => [one.id, one.from])).toEqual([[id, from]]);
  });
});
