import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { EXIT } from '#core/error-codes';
import { KEY_FILE } from '#sandbox/places';
import { down, run, type SandboxHost, up } from '#sandbox/sandbox';
import { deploy } from '#test/support/cli';
import { type Owner, ownerOf } from '#test/support/owner';
import { makeProject } from '#test/support/project';
import { scratch } from '#test/support/scratch';
import { makeKey } from '#test/support/sshd';

const NAME = 'e2e-lockout';
const PORT = 2200;
const DROP_INS = '/etc/ssh/sshd_config.d';
const THEIRS = `${DROP_INS}/70-theirs.conf`;
const EARLIER = `${DROP_INS}/00-aaa.conf`;
const project = makeProject();
const home = scratch('home');
const ENV = { HOME: home, XDG_STATE_HOME: home, SSH_AUTH_SOCK: '' };
let host: SandboxHost;
let owner: Owner;
let container: string;

async function inside(script: string): Promise<string> {
  const { stdout, stderr, exitCode } = await run(NAME, ['sh', '-c', script], { timeout: 200 });
  if (exitCode !== 0) throw new Error(`${script}\n${stderr}`);
  return stdout.trim();
}

/** What somebody did to the host before Slipway came: everything at once that has locked people out elsewhere. */
const SOMEBODY = `
apt-get -qq update && apt-get -qq -y --no-install-recommends install docker.io docker-cli ufw nftables busybox-static >/dev/null 2>&1
echo 'root:secret' | chpasswd
useradd -m alice && echo 'alice:secret' | chpasswd
cat > ${DROP_INS}/01-hostile.conf <<END
Port ${PORT}
PasswordAuthentication yes
PermitRootLogin yes
END
printf 'Match User alice\\n  PasswordAuthentication yes\\n  KbdInteractiveAuthentication yes\\n' > ${DROP_INS}/60-match.conf
printf '\\nMatch all\\n  PasswordAuthentication yes\\n  PermitRootLogin yes\\n' >> /etc/ssh/sshd_config
systemctl reload ssh.service

useradd -m -s /usr/sbin/nologin deploy
chage -E 1 -d 0 -M 30 deploy
mkdir /home/deploy/.ssh && chmod 777 /home/deploy /home/deploy/.ssh && chown nobody /home/deploy
echo 'Defaults requiretty' > /etc/sudoers.d/10-tty
echo 'deploy ALL=(ALL) ALL' > /etc/sudoers.d/zz-deploy

cat > /etc/nftables.conf <<END
flush ruleset
table inet theirs {
  chain input { type filter hook input priority 0; policy accept; tcp dport 9999 drop; }
}
END
systemctl enable --now nftables
ufw allow 5353/udp comment mdns && ufw limit 8022/tcp comment theirs
for from in 10.203.7.0/24 fd5a:203:7::/64; do ufw allow from "$from" to any port ${PORT} proto tcp comment office; done
ufw --force enable

echo '{ "labels": ["owner=theirs"] }' > /etc/docker/daemon.json && systemctl restart docker
mkdir -p /tmp/box/bin && cp /bin/busybox /tmp/box/bin/ && tar -C /tmp/box -c . | docker import - theirs/box
docker run --detach --restart always --name theirs theirs/box /bin/busybox sleep 99999
`;

const started = () => inside("docker inspect --format '{{.Id}} {{.State.StartedAt}} {{.State.Running}}' theirs");

function declare(more: Record<string, unknown> = {}): void {
  project.write('prod', {
    app: 'lockout',
    hosts: { vps: { address: host.address, port: PORT, identityFile: KEY_FILE } },
    ...more,
  });
}

const bringUp = (onEvent?: Parameters<typeof deploy>[1]) =>
  deploy(['up', 'prod', '--json', '--project', project.folder], { env: ENV, ...onEvent });

/** A run that has to fail, and what it says. */
async function refusal() {
  const ended = await bringUp();
  expect(ended.code, ended.stdout.slice(-3000)).not.toBe(EXIT.done);
  const failed = ended.events.find((event) => event.type === 'operation.failed');
  expect(failed, ended.stderr).toBeDefined();
  const types = ended.events.map(({ type }) => type);
  return { ...failed?.error, changes: types.filter((type) => type === 'resource.started').length, types };
}

beforeAll(async () => {
  await down([NAME]).catch(() => undefined);
  host = await up({ name: NAME, varieties: ['cloud-init'], aptCache: true });
  await inside(SOMEBODY);
  owner = await ownerOf(host, PORT);
  copyFileSync(owner.knownHosts, join(project.folder, 'inventory', 'known_hosts'));
  declare();
  container = await started();
});

afterAll(() => down([NAME]));

describe('before the first run', () => {
  test('passwords let in, and the owner comes by key', async () => {
    expect(await owner.password('alice', 'secret')).toBe('let in');
    expect(await owner.password('root', 'secret')).toBe('let in');
    expect(await owner.login('root')).toBe('root');
    expect(await owner.login('deploy')).toBe('exit 255');
  });

  test.each([
    [
      'a broken line',
      THEIRS,
      'PermitRootLogn no',
      'sshd-invalid',
      /configuration as it is: .*70-theirs\.conf.* line 1/,
    ],
    [
      'a file that sorts before ours',
      EARLIER,
      '# x\nPasswordAuthentication yes',
      'sshd-overridden',
      /passwordauthentication \(set by \/etc\/ssh\/sshd_config\.d\/00-aaa\.conf:2\)/,
    ],
    [
      'a Match block that sorts before ours',
      EARLIER,
      'Match User root\n  PermitRootLogin yes',
      'sshd-overridden',
      /permitrootlogin \(set by \/etc\/ssh\/sshd_config\.d\/00-aaa\.conf:2, Match User root\)/,
    ],
    [
      'AllowGroups',
      THEIRS,
      'AllowGroups root alice',
      'login-refused',
      /70-theirs\.conf:1 sets allowgroups to "alice root", and deploy is in none of them\./,
    ],
    [
      'AllowUsers in a Match block',
      THEIRS,
      'Match Address 10.203.7.0/24\n  AllowUsers root alice',
      'login-refused',
      /70-theirs\.conf:2 sets allowusers to "alice root", and deploy is not among them\./,
    ],
    [
      'keys in another place',
      THEIRS,
      'AuthorizedKeysFile /etc/ssh/keys/%u',
      'login-refused',
      /70-theirs\.conf:1 sets authorizedkeysfile to "\/etc\/ssh\/keys\/%u", and the keys of deploy are in/,
    ],
    [
      'a port that the next reload would move to',
      `${DROP_INS}/01-hostile.conf`,
      'Port 2299',
      'login-refused',
      /01-hostile\.conf:1 sets port to "2299", and sshd still listens on port 2200/,
    ],
  ])('%s: found before anything is changed, and named', async (_, file, text, code, message) => {
    await inside(`test ! -e ${file} || cp ${file} /root/kept`);
    await inside(`printf '%s\\n' '${text}' > ${file}`);
    const refused = await refusal().finally(() => inside(`rm ${file}; test ! -e /root/kept || mv /root/kept ${file}`));
    expect(refused).toMatchObject({ code, message: expect.stringMatching(message), changes: 0 });
    expect(refused.hint).toMatch(/on the host/);
    expect(await owner.login('root')).toBe('root');
  });

  test('a value that sshd does not take: found before anything is changed', async () => {
    declare({ ssh: { options: { PermitRootLogin: 'perhaps' } } });
    expect(await refusal()).toMatchObject({
      code: 'sshd-invalid',
      message: expect.stringContaining('perhaps'),
      changes: 0,
    });
    expect(await owner.login('root')).toBe('root');
    declare();
  });

  test.each([
    [
      'asks for a password after all',
      'deploy ALL=(ALL) PASSWD: ALL',
      'sudo-unavailable',
      /deploy cannot become root: .*\/etc\/sudoers\.d\/zzz-theirs/s,
    ],
    ['does not parse', 'this is no rule', 'sudoers-invalid', /\/etc\/sudoers\.d\/zzz-theirs/],
  ])('a sudoers file of somebody that %s is named, and the change is undone', async (_, text, code, message) => {
    await inside(`echo '${text}' > /etc/sudoers.d/zzz-theirs`);
    const refused = await refusal().finally(() => inside('rm /etc/sudoers.d/zzz-theirs'));
    expect(refused).toMatchObject({ code, message: expect.stringMatching(message) });
    expect(refused.types).toContain('guard.undone');
    expect(await owner.login('root')).toBe('root');
    expect(await inside('getent passwd deploy | cut -d: -f7; ls /etc/sudoers.d')).toMatch(/^\/usr\/sbin\/nologin\n/);
  });
});

describe('the first run', () => {
  test('ends with the owner in, on a port that only they knew', async () => {
    const ended = await bringUp();
    expect(ended.code, ended.stderr + ended.stdout.slice(-3000)).toBe(EXIT.done);
    expect(ended.events.map(({ type }) => type)).toContain('guard.disarmed');
    expect(await owner.login('deploy', 'sudo -n id -un')).toBe('root');
    expect(await owner.login('root')).toBe('exit 255');
    expect((await deploy(['plan', 'prod', '--exit-code', '--project', project.folder], { env: ENV })).code).toBe(
      EXIT.done,
    );
  });

  test('refuses every password, whatever the files of others say', async () => {
    for (const user of ['alice', 'root', 'nobody-here']) {
      expect(await owner.password(user, 'secret')).toMatch(
        /was refused: offered: \S+ \(\S+\); the host takes publickey$/,
      );
    }
    expect(await inside(`ls ${DROP_INS}; tail -n 3 /etc/ssh/sshd_config`)).toBe(
      '00-slipway.conf\n01-hostile.conf\n50-cloud-init.conf\n60-match.conf\nMatch all\n  PasswordAuthentication yes\n  PermitRootLogin yes',
    );
  });

  test('mends the account that would have been refused', async () => {
    expect(await inside('getent passwd deploy | cut -d: -f7; stat -c "%a %U" /home/deploy /home/deploy/.ssh')).toBe(
      '/bin/bash\n755 deploy\n700 deploy',
    );
    expect(await inside("chage -l deploy | grep -c ': never'")).toBe('3');
  });

  test('keeps the firewall rules and tables of others, and opens its own port first', async () => {
    const rules = await inside('ufw status');
    for (const rule of [/5353\/udp .*mdns/, /8022\/tcp .*LIMIT.*theirs/, /2200\/tcp .*10\.203\.7\.0\/24 .*office/]) {
      expect(rules).toMatch(rule);
    }
    expect(rules).toMatch(/2200\/tcp +ALLOW +Anywhere/);
    expect(rules).not.toMatch(/^22\/tcp/m);
    expect(await inside('systemctl is-active nftables; nft list table inet theirs | grep -c 9999')).toBe('active\n1');
  });

  test('leaves running containers alone, and keeps what Docker was told', async () => {
    expect(await started()).toBe(container);
    const daemon = JSON.parse(await inside('cat /etc/docker/daemon.json'));
    expect(daemon).toMatchObject({ labels: ['owner=theirs'], 'live-restore': true });
  });
});

describe('afterwards', () => {
  const stays = async () => expect(await owner.login('deploy', 'sudo -n id -un')).toBe('root');

  test('keys that the owner does not have: the change is undone, and said', async () => {
    const { publicKey } = await makeKey(home, 'other');
    declare({ ssh: { authorizedKeys: [publicKey] } });
    // Keys that Slipway did not write stay, so the owner's is taken out of what it wrote.
    expect(await refusal()).toMatchObject({
      code: 'guard-undone',
      message: expect.stringMatching(/was undone: .*deploy@\S+ was refused/),
    });
    await stays();
    declare();
  });

  const address = async () => (await owner.login('deploy', 'echo $SSH_CONNECTION')).split(' ')[0] ?? '';

  /** Bans as fail2ban itself would; it does so a moment later. */
  const ban = (banned: string) =>
    inside(`fail2ban-client set sshd banip ${banned} >/dev/null
for try in $(seq 100); do nft list ruleset | grep -qF ${banned} && exit; sleep 0.1; done; exit 1`);

  test('a ban of the owner that stands when they come: it is said, and over when the ban is', async () => {
    const banned = await address();
    await ban(banned);
    const ended = await bringUp();
    await inside(`fail2ban-client set sshd unbanip ${banned}`);
    expect(ended.code).toBe(EXIT.unreachable);
    expect(ended.stdout).toContain('did not answer within 15 s');
    await stays();
  });

  test('a ban in the middle of a run: the change is undone, and said', async () => {
    const banned = await address();
    declare({ ssh: { options: { LoginGraceTime: 40 } } });
    const ended = await bringUp({
      onEvent: (event, laptop) => {
        if (event.type !== 'guard.armed') return;
        laptop.kill('SIGSTOP');
        void ban(banned).finally(() => laptop.kill('SIGCONT'));
      },
    });
    await inside(`fail2ban-client set sshd unbanip ${banned}`);
    expect(ended.code).not.toBe(EXIT.done);
    expect(ended.stdout).toContain(`was undone: fail2ban bans ${banned}, where you come from`);
    await stays();
    declare();
  });
});
