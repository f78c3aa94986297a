import { readFile } from 'node:fs/promises';
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { run } from '#core/run';
import { authorizedKeys, group, sshdConfig, sudoers, user } from '#playbook/resources';
import { reload } from '#resources/resource';
import { down, type SandboxHost, up } from '#sandbox/sandbox';
import { type OnHost, onHost } from '#test/support/converge';
import { converges, fourPhases, RELEASE, says } from '#test/support/four-phases';

const NAME = 'sys-accounts';
const OTHER = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJqmtFzHQVjXYVQwHbWIBTzcVQDPDlYDRbDmZHoyDXQb other@laptop';
const THEIRS = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDvJ5W0lLyJTHfVUtGHiJnXMjgEHyMF0h2QpXXWsWAWC theirs@desk';

let sandbox: SandboxHost;
let host: OnHost;
let key: string;

beforeAll(async () => {
  await down([NAME]).catch(() => undefined);
  sandbox = await up({ name: NAME, release: RELEASE });
  host = await onHost(sandbox);
  key = (await readFile(`${sandbox.keyFile}.pub`, 'utf8')).trim();
});

afterAll(async () => {
  await host?.[Symbol.asyncDispose]();
  await down([NAME]);
});

/** A login by the system's own ssh client: what it printed. */
async function login(name: string, command: string, options: readonly string[] = []): Promise<string> {
  const quiet = [
    '-q',
    '-o',
    'StrictHostKeyChecking=no',
    '-o',
    'UserKnownHostsFile=/dev/null',
    '-o',
    'IdentitiesOnly=yes',
  ];
  const to = `${name}@${sandbox.address}`;
  const output = await run(['ssh', '-o', 'BatchMode=yes', ...quiet, '-i', sandbox.keyFile, ...options, to, command]);
  return output.stdout.trim();
}

describe('a user who may log in and become root', () => {
  const resources = () => [
    group({ name: 'ops', gid: 4242 }),
    user({ name: 'deploy', groups: ['ops', 'sudo'], shell: '/bin/bash', password: 'none' }),
    authorizedKeys({ user: 'deploy', keys: [key] }),
    sudoers({ name: '90-deploy', content: 'deploy ALL=(ALL:ALL) NOPASSWD: ALL\n' }),
  ];

  test('converges in four phases, proven by a real login', async () => {
    await fourPhases(host, resources(), { loginUser: 'deploy' });
    expect(await login('deploy', 'sudo -n id -un')).toBe('root');
    expect(await says(host, 'getent group ops; id -nG deploy; getent passwd deploy | cut -d: -f6,7')).toBe(
      'ops:x:4242:deploy\ndeploy sudo ops\n/home/deploy:/bin/bash',
    );
    expect(
      await says(host, 'stat -c "%a %U" /home/deploy/.ssh /home/deploy/.ssh/authorized_keys /etc/sudoers.d/90-deploy'),
    ).toBe('700 deploy\n600 deploy\n440 root');
    expect(await says(host, 'getent shadow deploy | cut -d: -f2,5')).toBe('*:99999');
  });

  test('goes when it is no longer declared; the home stays, and is told', async () => {
    await host.sh('echo data > /home/deploy/file');
    const { error, events } = await host.up([]);
    expect(error?.message).toBeUndefined();
    expect(await says(host, 'getent passwd deploy; getent group ops deploy; ls /etc/sudoers.d')).toBe('README');
    expect(await login('deploy', 'id')).toBe('');
    expect(await says(host, 'cat /home/deploy/file')).toBe('data');
    expect(JSON.stringify(events)).toContain('/home/deploy stays');
  });

  test('comes back to what is left of its home', async () => {
    await converges(host, resources(), { loginUser: 'deploy' });
    expect(await login('deploy', 'cat file; touch new && echo mine')).toBe('data\nmine');
    await host.up([]);
    await host.sh('rm -rf /home/deploy');
  });
});

describe('a user who was there before', () => {
  beforeAll(async () => {
    await host.sh(`useradd -m -s /bin/sh -G games,audio alice; echo 'alice:secret' | chpasswd; chage -M 30 -W 5 alice
      install -d -m 755 -o alice -g alice /home/alice/.ssh
      printf '# mine\\n${THEIRS}\\n' > /home/alice/.ssh/authorized_keys`);
  });

  test('is adopted: password, age, groups and foreign keys stay', async () => {
    const before = await says(host, 'getent shadow alice; getent passwd alice');
    await fourPhases(host, [
      user({ name: 'alice', groups: ['adm'] }),
      authorizedKeys({ user: 'alice', keys: [OTHER] }),
    ]);
    expect(await says(host, 'getent shadow alice; getent passwd alice')).toBe(before);
    expect((await says(host, 'id -nG alice')).split(' ').sort()).toEqual(['adm', 'alice', 'audio', 'games']);
    expect(await says(host, 'grep -c ssh-ed25519 /home/alice/.ssh/authorized_keys; stat -c %a /home/alice/.ssh')).toBe(
      '2\n700',
    );
  });

  test('a key that is no longer declared goes, and only that', async () => {
    await converges(host, [user({ name: 'alice' }), authorizedKeys({ user: 'alice', keys: [key] })]);
    expect(await login('alice', 'id -un')).toBe('alice');
    const text = await says(host, 'cat /home/alice/.ssh/authorized_keys');
    expect(text).toContain(THEIRS);
    expect(text).not.toContain(OTHER);
  });

  test('exact groups and exclusive keys take the foreign ones away', async () => {
    const keys = authorizedKeys({ user: 'alice', keys: [key], exclusive: true });
    await converges(host, [user({ name: 'alice', groups: ['adm'], exactGroups: true, password: 'none' }), keys]);
    expect(await says(host, 'id -nG alice')).toBe('alice adm');
    expect(await says(host, 'grep -c ssh- /home/alice/.ssh/authorized_keys; passwd -S alice | cut -d" " -f2')).toBe(
      '1\nL',
    );
  });

  test('stays when it is no longer declared, with its own keys back', async () => {
    expect((await host.up([])).error?.message).toBeUndefined();
    expect(await says(host, 'id -un alice; cat /home/alice/.ssh/authorized_keys')).toBe(`alice\n# mine\n${THEIRS}`);
  });
});

describe('rights for sudo are checked before they count', () => {
  const good = sudoers({ name: 'ours', content: 'Cmnd_Alias OURS = /bin/true\nalice ALL = NOPASSWD: OURS' });
  const live = 'sha256sum /etc/sudoers /etc/sudoers.d/*; visudo -c >/dev/null && echo fine';

  test('a syntax error', async () => {
    await host.up([good]);
    const before = await says(host, live);
    const { error } = await host.up([sudoers({ name: 'ours', content: 'alice ALL = (ALL\n' })]);
    expect(error).toMatchObject({ code: 'sudoers-invalid', resource: 'sudoers:ours' });
    expect(await says(host, live)).toBe(before);
  });

  test('an alias that another file has already', async () => {
    await host.sh('echo "Cmnd_Alias THEIRS = /bin/false" > /etc/sudoers.d/theirs; chmod 440 /etc/sudoers.d/theirs');
    const before = await says(host, live);
    const twice = 'Cmnd_Alias THEIRS = /bin/true\nalice ALL = THEIRS';
    const { error } = await host.up([sudoers({ name: 'ours', content: twice })]);
    expect(error?.code).toBe('sudoers-invalid');
    expect(await says(host, live)).toBe(before);
    await converges(host, [good]);
    expect(await says(host, 'sudo -l -U alice | tail -1; ls /run/slipway/sudoers')).toContain(
      '(root) NOPASSWD: /bin/true',
    );
    await host.up([]);
    expect(await says(host, 'ls /etc/sudoers.d')).toBe('README\ntheirs');
  });
});

describe('sshd', () => {
  const triggers = [reload('ssh.service')];
  const ours = (more: Parameters<typeof sshdConfig>[0]['settings'] = {}) =>
    sshdConfig(
      {
        settings: {
          PasswordAuthentication: false,
          KbdInteractiveAuthentication: false,
          PermitRootLogin: 'prohibit-password',
          LoginGraceTime: '30s',
          ClientAliveInterval: '5m',
          AllowUsers: ['root', 'alice'],
          KexAlgorithms: ['mlkem768x25519-sha256', 'of-the-future', 'curve25519-sha256'],
          ...more,
        },
        ifKnown: { RequiredRSASize: 3072, NotInventedYet: 'yes' },
      },
      { triggers },
    );
  const effective = (...options: readonly string[]) =>
    says(host, `sshd -T | grep -E '^(${options.join('|')}) ' | sort`);

  test('converges in four phases, and the running sshd obeys', async () => {
    const before = await says(host, 'sshd -T | sort');
    await host.sh(
      'printf "PasswordAuthentication yes\\n" > /etc/ssh/sshd_config.d/50-cloud-init.conf; systemctl reload ssh',
    );
    await fourPhases(host, [ours()]);
    expect(await effective('passwordauthentication', 'permitrootlogin', 'logingracetime', 'clientaliveinterval')).toBe(
      'clientaliveinterval 300\nlogingracetime 30\npasswordauthentication no\npermitrootlogin without-password',
    );
    const known = (await says(host, 'ssh -Q kex')).includes('mlkem768') ? 'mlkem768x25519-sha256,' : '';
    expect(await effective('kexalgorithms', 'requiredrsasize')).toBe(
      `kexalgorithms ${known}curve25519-sha256\nrequiredrsasize 3072`,
    );
    const asked = await run([
      ...['ssh', '-v', '-o', 'StrictHostKeyChecking=no', '-o', 'UserKnownHostsFile=/dev/null', '-o', 'BatchMode=yes'],
      ...['-o', 'PubkeyAuthentication=no', `root@${sandbox.address}`, 'true'],
    ]);
    expect(asked.stderr).toContain('Authentications that can continue: publickey\n'.trimEnd());
    expect(asked.stderr).not.toMatch(/can continue: \S*password/);
    await host.up([]);
    expect(await says(host, 'rm /etc/ssh/sshd_config.d/50-cloud-init.conf; sshd -T | sort')).toBe(before);
  });

  test('a value sshd refuses changes nothing', async () => {
    const { error } = await host.up([ours({ PermitRootLogin: 'perhaps' })]);
    expect(error?.code).toBe('sshd-invalid');
    expect(error?.message).toContain('perhaps');
    expect(await says(host, 'ls /etc/ssh/sshd_config.d')).toBe('');
  });

  test('a file that would win is named, and nothing changes', async () => {
    await host.sh('echo "PasswordAuthentication yes" > /etc/ssh/sshd_config.d/00-aaa.conf');
    const { error } = await host.up([ours()]);
    expect(error).toMatchObject({ code: 'sshd-overridden' });
    expect(error?.message).toContain('passwordauthentication (set by /etc/ssh/sshd_config.d/00-aaa.conf:1)');
    expect(await says(host, 'ls /etc/ssh/sshd_config.d')).toBe('00-aaa.conf');
    await host.sh('rm /etc/ssh/sshd_config.d/00-aaa.conf');
    await converges(host, [ours()]);
  });

  test('a file that came later and wins is seen by the next plan', async () => {
    await host.sh('echo "MaxAuthTries 9\nLoginGraceTime 99" > /etc/ssh/sshd_config.d/00-aaa.conf');
    const { steps } = await host.plan([ours()]);
    expect(steps[0]?.changes).toEqual([
      { summary: 'logingracetime: 99 (set by /etc/ssh/sshd_config.d/00-aaa.conf:2) -> 30' },
    ]);
    await host.sh('rm /etc/ssh/sshd_config.d/00-aaa.conf');
  });

  test('without /run/sshd, as before the first login through ssh.socket, it can be asked all the same', async () => {
    await host.sh('systemctl stop ssh.service');
    expect(await says(host, 'ls -d /run/sshd')).toContain('No such file');
    const { error, steps } = await host.plan([ours()]);
    await host.sh('systemctl start ssh.service');
    expect(error?.message).toBeUndefined();
    expect(steps).toEqual([]);
  });

  test('a main file that reads no drop-ins is told, not changed', async () => {
    await host.up([]);
    await host.sh('sed -i.bak /^Include/d /etc/ssh/sshd_config');
    const before = await says(host, 'sha256sum /etc/ssh/sshd_config');
    const { error } = await host.up([ours()]);
    expect(error).toMatchObject({ code: 'sshd-include-missing' });
    expect(error?.hint).toContain('Include /etc/ssh/sshd_config.d/*.conf');
    expect(await says(host, 'sha256sum /etc/ssh/sshd_config; ls /etc/ssh/sshd_config.d')).toBe(before);
    await host.sh('mv /etc/ssh/sshd_config.bak /etc/ssh/sshd_config');
    await converges(host, [ours()]);
    await host.up([]);
  });
});

describe('what goes wrong is explained', () => {
  test('keys of a user, or a user in a group, that the host does not have', async () => {
    const { error } = await host.up([authorizedKeys({ user: 'nobody-here', keys: [OTHER] })]);
    expect(error).toMatchObject({ code: 'account-missing', resource: 'authorized-keys:nobody-here' });
    const inGroup = await host.up([user({ name: 'bob', groups: ['no-such-group'] })]);
    expect(inGroup.error).toMatchObject({ code: 'account-missing', resource: 'user:bob' });
    expect(await says(host, 'getent passwd bob')).toBe('');
    await host.up([]);
  });

  test('a user with running processes is not taken away from under them', async () => {
    await host.up([user({ name: 'busy' })]);
    await host.sh('systemd-run -q --unit=busy-one --uid=busy sleep 300');
    const { error } = await host.up([]);
    expect(error).toMatchObject({ code: 'user-busy', resource: 'user:busy' });
    await host.sh('systemctl stop busy-one');
    expect((await host.up([])).error).toBeUndefined();
    expect(await says(host, 'getent passwd busy')).toBe('');
  });
});

test('from whatever state, one apply converges and the next changes nothing', async () => {
  const scripts = (...all: readonly string[]) => fc.constantFrom('true', ...all);
  const keys = 'home/carol/.ssh/authorized_keys';
  const dirt = fc.record({
    account: scripts(
      'userdel carol',
      'useradd -m carol',
      'usermod -s /bin/sh -aG games carol',
      'usermod -L carol',
      'groupdel crew',
      'groupmod -g 5005 crew',
      'rm -rf /home/carol',
    ),
    keys: scripts(
      `rm -f /${keys}`,
      `chmod 666 /${keys}`,
      `echo '${THEIRS}' >> /${keys}`,
      `sed -i '/Slipway end/d' /${keys}`,
      'chmod 777 /home/carol/.ssh; chown root /home/carol/.ssh',
    ),
    sudoers: scripts(
      'rm -f /etc/sudoers.d/carol',
      'chmod 666 /etc/sudoers.d/carol',
      'echo "# x" > /etc/sudoers.d/carol',
    ),
    sshd: scripts(
      'echo "MaxAuthTries 9" > /etc/ssh/sshd_config.d/50-cloud.conf',
      'rm -f /etc/ssh/sshd_config.d/*.conf',
      'chmod 644 /etc/ssh/sshd_config.d/00-slipway.conf',
    ),
    groups: fc.subarray(['crew', 'adm', 'games']),
    exactGroups: fc.boolean(),
    exclusive: fc.boolean(),
    tries: fc.integer({ min: 3, max: 6 }),
  });
  await fc.assert(
    fc.asyncProperty(dirt, async ({ groups, exactGroups, exclusive, tries, ...soil }) => {
      await host.sh(Object.values(soil).join('\n'));
      await converges(host, [
        group({ name: 'crew', gid: 5004 }),
        user({ name: 'carol', groups, exactGroups, shell: '/bin/bash', password: 'none' }),
        authorizedKeys({ user: 'carol', keys: [OTHER], exclusive }),
        sudoers({ name: 'carol', content: 'carol ALL = /bin/true' }),
        sshdConfig({ settings: { MaxAuthTries: tries } }),
      ]);
    }),
    { numRuns: 6 },
  );
  await host.up([]);
});
