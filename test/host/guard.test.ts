import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { keepRecognizable } from '#cli/host-key';
import { connectOptions, firstTarget } from '#cli/reach';
import type { Environment } from '#inventory/environment';
import { loadEnvironment } from '#inventory/load';
import {
  authorizedKeys,
  command,
  nftTable,
  reload,
  sshdConfig,
  sudoers,
  ufw,
  ufwRule,
  user,
} from '#playbook/resources';
import type { Event } from '#protocol/event';
import { down, run, type SandboxHost, start, stop, up } from '#sandbox/sandbox';
import { connect } from '#ssh/connection';
import { type OnHost, onHost, type Run, type RunOptions } from '#test/support/converge';
import { makeProject } from '#test/support/project';
import { makeKey } from '#test/support/sshd';

const NAME = 'guard';
/** The address from which this machine comes in. */
const HERE = '10.203.7.1';

const project = makeProject();
let sandbox: SandboxHost;
let host: OnHost;
let environment: Environment;

const inside = async (script: string) => (await run(NAME, ['sh', '-c', script])).stdout;

/** What a guard leaves: nothing, neither files nor units. */
async function expectNoTrace(): Promise<void> {
  const left = await inside(
    'ls /var/lib/slipway/guards /run/slipway/guard /etc/systemd/system/slipway-undo.service 2>/dev/null | grep -v :; ' +
      'ls -d /var/lib/slipway/.guard-* /etc/systemd/system/*/slipway-undo* 2>/dev/null; ' +
      'systemctl list-units --all --plain --no-legend "slipway-guard-*" "slipway-undo*"; find /etc -name "*.slipway-undo"',
  );
  expect(left.trim()).toBe('');
}

beforeAll(async () => {
  await down([NAME]).catch(() => undefined);
  sandbox = await up({ name: NAME, aptCache: true, equipped: true });
  // Logins fail here on purpose; sshd would soon take offence.
  await inside(
    'echo "PerSourcePenalties no" > /etc/ssh/sshd_config.d/10-test.conf; systemctl reload ssh; systemctl start fail2ban',
  );
  mkdirSync(join(project.folder, 'inventory'), { recursive: true });
  writeFileSync(join(project.folder, 'inventory', 'known_hosts'), sandbox.knownHosts);
  project.write('prod', {
    app: 'shop',
    hosts: { [NAME]: { address: sandbox.address, identityFile: sandbox.keyFile, user: 'root' } },
    ssh: { authorizedKeys: [`${sandbox.keyFile}.pub`] },
  });
  environment = await loadEnvironment(project.folder, 'prod');
  host = await onHost(sandbox);
});

afterAll(async () => {
  await host?.[Symbol.asyncDispose]();
  await down([NAME]);
});

const key = () => readFileSync(`${sandbox.keyFile}.pub`, 'utf8').trim();
const people = () => [
  user({ name: 'deploy' }),
  authorizedKeys({ user: 'deploy', keys: [key()] }),
  sudoers({ name: 'slipway-deploy', content: 'deploy ALL=(ALL:ALL) NOPASSWD: ALL' }),
];
const doors = (settings: Record<string, string> = {}) => [
  sshdConfig(
    { settings: { X11Forwarding: false, ...settings }, ifKnown: { PerSourcePenalties: false } },
    { triggers: [reload('ssh.service')] },
  ),
  ufwRule({ port: 22, comment: 'ssh' }),
  ufw({ sshPorts: [22] }),
];
const table = (rules: string) =>
  nftTable({ name: 'cut', rules: `chain input { type filter hook input priority -10; policy accept; ${rules}; }` });
const CUT_IPV6 = 'meta nfproto ipv6 tcp dport 22 ct state new reject with tcp reset';
/** A change that the guard has to be armed for, and that harms nobody. */
const harmless = (text: string) => sudoers({ name: 'harmless', content: `nobody ALL=(root) NOPASSWD: /bin/${text}` });

const deploy = (resources: Parameters<OnHost['up']>[0], options: RunOptions = {}): Promise<Run> =>
  host.up(resources, { proveAs: environment, ...options });
const types = (events: readonly Event[]) => events.map(({ type }) => type);
const find = <T extends Event['type']>({ events }: Run, type: T) =>
  events.find((event): event is Extract<Event, { type: T }> => event.type === type);

/** Somebody else's session, in which something is printed all the time. */
let neighbour: ChildProcess;
const heard: number[] = [];

describe('a change that is proven', () => {
  beforeAll(() => {
    const options = [
      'StrictHostKeyChecking=no',
      'UserKnownHostsFile=/dev/null',
      'LogLevel=ERROR',
      'IdentitiesOnly=yes',
    ];
    neighbour = spawn(
      'ssh',
      [
        '-i',
        sandbox.keyFile,
        ...options.flatMap((option) => ['-o', option]),
        `root@${sandbox.address}`,
        'while :; do echo; sleep 0.2; done',
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    neighbour.stdout?.on('data', () => heard.push(performance.now()));
  });

  test('is kept, over both address families, and leaves no trace', async () => {
    const done = await deploy([...people(), ...doors()]);
    expect(done.error).toBeUndefined();
    const ways = [
      { family: 4, address: sandbox.address },
      { family: 6, address: sandbox.address6 },
    ];
    expect(find(done, 'guard.armed')?.ways).toEqual(ways);
    expect(find(done, 'guard.disarmed')).toMatchObject({
      user: 'deploy',
      proven: ways.map((way) => ({ ...way, through: 'fresh' })),
    });
    expect(types(done.events).filter((type) => type.startsWith('guard.'))).toEqual([
      'guard.ways-wanted',
      'guard.armed',
      'guard.proof-wanted',
      'guard.disarmed',
    ]);
    expect(await inside('ufw status | grep -c 22/tcp; sshd -T | grep x11forw')).toBe('2\nx11forwarding no\n');
    await expectNoTrace();
  });

  test('what was open meanwhile was not cut', async () => {
    await expect.poll(() => performance.now() - (heard.at(-1) ?? 0)).toBeLessThan(1000);
    expect(neighbour.exitCode).toBeNull();
    neighbour.kill();
  });

  test('where one family did not work before, it is said, and the other is enough', async () => {
    await inside(`nft 'table inet broken { chain input { type filter hook input priority -10; ${CUT_IPV6}; }; }'`);
    const done = await deploy([...people(), ...doors(), harmless('true')]);
    await inside('nft delete table inet broken');
    expect(done.error).toBeUndefined();
    expect(find(done, 'warning')?.message).toMatch(
      new RegExp(
        `^IPv6 \\(${sandbox.address6}\\) does not work, and did not before this run: .* refuses the connection`,
      ),
    );
    expect(find(done, 'guard.disarmed')?.proven.map(({ family }) => family)).toEqual([4]);
  });
});

describe('a change that is not proven is undone', () => {
  const base = () => [...people(), ...doors(), harmless('true')];

  test('where it breaks one address family that worked', async () => {
    const done = await deploy([...base(), table(CUT_IPV6)]);
    expect(done.error?.code).toBe('guard-undone');
    expect(done.error?.message).toMatch(/undone: over IPv6, .* refuses the connection/);
    expect((await run(NAME, ['nft', 'list', 'table', 'inet', 'cut'])).exitCode).not.toBe(0);
    expect(await inside('ls /etc/systemd/system | grep slipway-nft; systemctl --failed --no-legend')).toBe('');
    await expectNoTrace();
  });

  // What is broken for the final user alone; root, who is logged in, sees nothing of it before the change.
  test.each([
    [
      'no key',
      'mv ~deploy/.ssh/authorized_keys /root/',
      'mv /root/authorized_keys ~deploy/.ssh/',
      'deploy has no key in /home/deploy/.ssh/authorized_keys',
    ],
    [
      'a home that others may write to',
      'chmod 777 ~deploy',
      'chmod 700 ~deploy',
      '/home/deploy is writable by others (mode 0777), so sshd does not look at the keys of deploy',
    ],
    [
      'a shell that ends logins',
      'usermod -s /usr/sbin/nologin deploy',
      'usermod -s /bin/bash deploy',
      'the shell of deploy is /usr/sbin/nologin, which ends every login',
    ],
    [
      'a shell that is not there',
      'usermod -s /bin/zzsh deploy',
      'usermod -s /bin/bash deploy',
      'the shell of deploy, /bin/zzsh, is not there or cannot be executed',
    ],
    [
      'a group that is not let in',
      'echo AllowGroups root > /etc/ssh/sshd_config.d/20-theirs.conf; systemctl reload ssh',
      'rm /etc/ssh/sshd_config.d/20-theirs.conf; systemctl reload ssh',
      'allowgroups of sshd is "root" (/etc/ssh/sshd_config.d/20-theirs.conf:1)',
    ],
    [
      'a kind of key that is refused',
      `printf 'Match User deploy\\nPubkeyAcceptedAlgorithms rsa-sha2-512\\n' > /etc/ssh/sshd_config.d/99-theirs.conf; systemctl reload ssh`,
      'rm /etc/ssh/sshd_config.d/99-theirs.conf; systemctl reload ssh',
      'sshd takes no ED25519 keys',
    ],
    [
      'an account that has expired',
      'chage -E 1 deploy',
      'chage -E -1 deploy',
      'the account deploy expired on 1970-01-02',
    ],
    [
      'no sudo',
      'mv /etc/sudoers.d/slipway-deploy /root/',
      'mv /root/slipway-deploy /etc/sudoers.d/',
      'sudo refuses deploy: sudo: a password is required',
    ],
  ])('and says why: %s', async (_, broken, mended, said) => {
    await inside(broken);
    const done = await deploy([harmless('false')], { app: 'other' });
    await inside(mended);
    expect(done.error?.code).toBe('guard-undone');
    expect(done.error?.message).toContain(said);
    expect(await inside('cat /etc/sudoers.d/harmless')).toContain('/bin/true');
  });

  test('and says why: an RSA key that is too short', async () => {
    const rsa = await makeKey(project.folder, 'id_rsa', { type: 'rsa:2048' });
    await inside(`for home in /root /home/deploy; do echo '${rsa.publicKey}' >> $home/.ssh/authorized_keys; done
      printf 'Match User deploy\\nRequiredRSASize 3072\\n' > /etc/ssh/sshd_config.d/99-theirs.conf; systemctl reload ssh`);
    const declared = environment.hosts[NAME];
    if (declared === undefined) throw new Error('the inventory has no such host');
    const hosts = { [NAME]: { ...declared, identityFile: rsa.file } };
    const done = await deploy([harmless('false')], { app: 'other', proveAs: { ...environment, hosts } });
    await inside('rm /etc/ssh/sshd_config.d/99-theirs.conf; systemctl reload ssh');
    expect(done.error?.message).toContain('its RSA key has 2048 bits, and sshd asks for 3072');
  });

  test('and says why: sshd does not take its configuration any more', async () => {
    const pause = command({
      name: 'pause',
      why: 'give the test time to break it',
      command: ['sh', '-c', 'sleep 1; touch /run/paused'],
      creates: '/run/paused',
    });
    const done = await deploy([...doors({ MaxStartups: '10:30:50' }), pause, harmless('false')], {
      app: 'other',
      onEvent: async (event) => {
        if (event.type === 'resource.changed' && event.resource.startsWith('sshd-config')) {
          await inside('echo Nonsense yes > /etc/ssh/sshd_config.d/30-theirs.conf');
        }
        return undefined;
      },
    });
    expect(done.error?.message).toContain('Bad configuration option: Nonsense');
    expect(await inside('ls /etc/ssh/sshd_config.d; sshd -T | grep maxstartups')).not.toMatch(/theirs|10:30:50/);
    await expectNoTrace();
  });

  test('and says why: sshd listens elsewhere', async () => {
    const done = await deploy(doors({ Port: '2222' }), { app: 'other' });
    expect(done.error?.message).toContain('nothing listens on port 22 over IPv4');
    expect(await inside('sshd -T | grep ^port; ss -Hltn sport = :2222')).toBe('port 22\n');
  });

  test('and says why: the firewall lets nobody in', async () => {
    const done = await deploy([harmless('false')], {
      app: 'other',
      onEvent: async ({ type }) => {
        if (type === 'guard.proof-wanted') await inside('ufw reject 22/tcp');
        return undefined;
      },
    });
    expect(done.error?.message).toContain(`the firewall has no rule that lets ${HERE} in to port 22 over IPv4`);
    expect(await inside('ufw status | grep 22/tcp')).not.toContain('REJECT');
  });

  test('and the operator is let in again whom fail2ban has banned meanwhile', async () => {
    const done = await deploy([harmless('false')], {
      app: 'other',
      onEvent: async ({ type }) => {
        if (type === 'guard.armed') await inside(`fail2ban-client set sshd banip ${HERE}`);
        return undefined;
      },
    });
    expect(done.error?.message).toContain(`fail2ban bans ${HERE}, where you come from`);
    expect(await inside('fail2ban-client get sshd banip')).not.toContain(HERE);
  });

  test('nothing is begun where not even now a fresh login works', async () => {
    await inside(
      `nft 'table inet broken { chain input { type filter hook input priority -10; tcp dport 22 ct state new reject with tcp reset; }; }'`,
    );
    const done = await deploy([harmless('false')], { app: 'other' });
    expect(done.error?.code).toBe('guard-not-armed');
    expect(done.error?.message).toContain('not even now does a fresh login work');
    // Asked for in so many words, the connection that is open is proof enough.
    const forced = await deploy([harmless('false')], { app: 'other', force: true });
    await inside('nft delete table inet broken');
    expect(forced.error).toBeUndefined();
    expect(find(forced, 'guard.disarmed')?.proven).toMatchObject([{ family: 4, through: 'open' }]);
    await deploy([], { app: 'other' });
  });
});

/** A run that dies once it has made its change, before anybody proves it. */
async function leaveUnproven(resources: Parameters<OnHost['up']>[0]): Promise<void> {
  const killing = async ({ type }: Event) => {
    if (type !== 'guard.proof-wanted') return undefined;
    await inside(`kill -9 $(sed -n 's/.*"pid":\\([0-9]*\\).*/\\1/p' /run/slipway/operation.json)`);
    return false;
  };
  await expect(host.up(resources, { loginUser: 'root', onEvent: killing })).rejects.toMatchObject({
    code: 'operation-died',
  });
}

describe('when everybody is gone', () => {
  const before = () => [...people(), ...doors(), harmless('true')];
  const rights = () => inside('cat /etc/sudoers.d/harmless');

  beforeAll(async () => {
    expect((await deploy(before())).error).toBeUndefined();
  });

  test('the connection is cut between the change and its proof', async () => {
    const other = await onHost(sandbox);
    const cut = other.up([...people(), ...doors(), harmless('false')], {
      onEvent: async ({ type }) => {
        if (type !== 'guard.proof-wanted') return undefined;
        expect(await rights()).toContain('/bin/false');
        await other[Symbol.asyncDispose]();
        return false;
      },
    });
    await expect(cut).rejects.toMatchObject({ code: 'connection-lost' });
    await expect.poll(rights, { timeout: 20_000 }).toContain('/bin/true');
    await expect.poll(() => inside('ls /var/lib/slipway/guards'), { timeout: 20_000 }).toBe('');
  });

  test("the host's own timer undoes it", async () => {
    await leaveUnproven([...people(), ...doors(), harmless('false')]);
    expect(await rights()).toContain('/bin/false');
    // The timer's own service is started now instead of in three minutes; it is the same service.
    const timer = (await inside('systemctl list-units --plain --no-legend "slipway-guard-*.timer"')).split('.')[0];
    await inside(`systemctl start ${timer}.service`);
    await expect.poll(() => inside('ls /var/lib/slipway/guards'), { timeout: 20_000 }).toBe('');
    expect(await rights()).toContain('/bin/true');
    // Started by hand, the service leaves its timer waiting.
    await inside(`systemctl stop ${timer}.timer`);
    await expectNoTrace();
  });

  test('the next run takes over', async () => {
    const wanted = [...people(), ...doors(), harmless('echo')];
    await leaveUnproven(wanted);
    expect((await host.plan(wanted)).steps).toMatchObject([
      { changes: [{ summary: 'prove access by a fresh login, or undo' }] },
    ]);
    const taken = await deploy(wanted);
    expect(types(taken.events)).toEqual(expect.arrayContaining(['guard.armed', 'guard.disarmed']));
    expect(await rights()).toContain('/bin/echo');
    await expectNoTrace();
  });

  test('the host, rebooted before the proof, comes up as it was', async () => {
    const hostile = [
      ...people(),
      user({ name: 'mallory' }),
      ...doors({ AllowUsers: 'mallory', Port: '2222' }).slice(0, 1),
      harmless('false'),
      table('tcp dport 22 ct state new drop'),
    ];
    await leaveUnproven(hostile);
    expect(await inside('ls /etc/systemd/system/slipway-undo.service; sshd -T | grep ^port')).toContain('port 2222');
    await host[Symbol.asyncDispose]();
    await stop(NAME);
    sandbox = await start(NAME);
    host = await onHost(sandbox);
    expect(await rights()).toContain('/bin/echo');
    expect(await inside('id mallory 2>&1; sshd -T | grep ^port; ufw status | head -n 1')).toBe(
      'id: ‘mallory’: no such user\nport 22\nStatus: active\n',
    );
    expect((await run(NAME, ['nft', 'list', 'table', 'inet', 'cut'])).exitCode).not.toBe(0);
    expect(await inside('systemctl is-system-running --wait; systemctl --failed --plain --no-legend')).toBe(
      'running\n',
    );
    expect(await inside('ls /etc/systemd/system /etc/systemd/system/sysinit.target.wants')).not.toContain('slipway');
    await expectNoTrace();
    const again = await deploy([...people(), ...doors(), harmless('echo')]);
    expect(again.error).toBeUndefined();
  });
});

describe('a host of which only an ECDSA key is pinned', () => {
  const known = () => join(project.folder, 'inventory', 'known_hosts');

  test('is given its Ed25519 key beside it, or nothing is begun', async () => {
    const ecdsa = sandbox.knownHosts.split('\n').filter((line) => line.includes(' ecdsa-'));
    writeFileSync(known(), `${ecdsa.join('\n')}\n`);
    const declared = environment.hosts[NAME];
    if (declared === undefined) throw new Error('the inventory has no such host');
    await using connection = await connect({ ...firstTarget(declared), user: 'deploy' }, connectOptions(environment));
    await inside('mv /etc/ssh/ssh_host_ed25519_key.pub /root/');
    await expect(keepRecognizable(environment, connection)).rejects.toMatchObject({ code: 'host-key-retired' });
    expect(readFileSync(known(), 'utf8').trim().split('\n')).toEqual(ecdsa);
    await inside('mv /root/ssh_host_ed25519_key.pub /etc/ssh/');
    expect(await keepRecognizable(environment, connection)).toContain(known());
    expect(readFileSync(known(), 'utf8')).toMatch(/ ecdsa-.*\n.* ssh-ed25519 /);
    expect(await keepRecognizable(environment, connection)).toBeUndefined();
  });
});
