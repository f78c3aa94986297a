import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type Output, run as runHere } from '#core/run';
import { down, internet, list, run, type SandboxHost, setRecord, start, stop, up } from '#sandbox/sandbox';

const made = new Set<string>();
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sandbox-test-'));
});

afterEach(async () => {
  const standing = new Set((await list()).map(({ name }) => name));
  await down([...made].filter((name) => standing.has(name)));
  made.clear();
});

afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

async function make(options: Parameters<typeof up>[0]): Promise<SandboxHost> {
  made.add(options.name);
  return await up({ aptCache: true, ...options });
}

/** The system's own ssh, which trusts nothing but the lines that the sandbox gave for this host. */
async function ssh(host: SandboxHost, command: string, address = host.address): Promise<Output> {
  const known = join(folder, `${host.name}.known_hosts`);
  await writeFile(known, host.knownHosts);
  const options = [
    `UserKnownHostsFile=${known}`,
    'GlobalKnownHostsFile=/dev/null',
    'StrictHostKeyChecking=yes',
    'ConnectTimeout=5',
  ];
  return await runHere([
    ...['ssh', '-F', '/dev/null', '-i', host.keyFile, '-o', 'BatchMode=yes', '-o', 'IdentitiesOnly=yes'],
    ...options.flatMap((option) => ['-o', option]),
    ...[`${host.user}@${address}`, command],
  ]);
}

/** What a command says, which has to succeed. */
async function said(host: SandboxHost, command: string, timeout = 300): Promise<string> {
  const output = await run(host.name, ['sh', '-ec', command], { timeout });
  if (output.exitCode !== 0) throw new Error(`${command}: ${output.stderr}${output.stdout}`);
  return output.stdout.trim();
}

async function remainsOf(name: string): Promise<readonly string[]> {
  const machine = `slipway-${name}`;
  const [processes, mounts, links] = await Promise.all([
    runHere(['ps', '-eo', 'args']),
    readFile('/proc/self/mounts', 'utf8'),
    runHere(['ip', '-details', 'link']),
  ]);
  const groups = ['/sys/fs/cgroup/unified', '/sys/fs/cgroup/systemd', '/sys/fs/cgroup'];
  const lines = [...processes.stdout.split('\n'), ...mounts.split('\n'), ...links.stdout.split('\n')];
  return [
    ...lines.filter((line) => line.includes(`${machine} `) || line.includes(`${machine}/`) || line.endsWith(machine)),
    ...groups.map((group) => `${group}/${machine}`).filter(existsSync),
    ...[`/var/lib/slipway-sandbox/hosts/${name}`].filter(existsSync),
  ];
}

describe('a bare host', () => {
  test('is a Debian 13 that answers on both addresses and has nothing but sshd', async () => {
    const host = await make({ name: 'sandbox-bare' });
    expect(host).toMatchObject({ state: 'running', release: 'debian-13', user: 'root', varieties: [] });
    expect((await ssh(host, 'uname -n')).stdout).toBe('sandbox-bare\n');
    expect((await ssh(host, 'uname -n', host.address6)).stdout).toBe('sandbox-bare\n');
    await expect
      .poll(async () => (await run(host.name, ['systemctl', 'is-system-running'])).stdout, { timeout: 20_000 })
      .toBe('running\n');
    expect((await ssh(host, 'which curl wget python3 cron docker')).stdout).toBe('');
    expect(await said(host, 'cat /etc/debian_version')).toMatch(/^13\./);

    const update = await ssh(host, 'apt-get update && apt-get install --yes --no-install-recommends curl');
    expect(update.exitCode, update.stderr).toBe(0);

    await down([host.name]);
    expect(await remainsOf(host.name)).toEqual([]);
    expect((await list()).map(({ name }) => name)).not.toContain(host.name);
  });

  test('runs Debian 12 where that is asked for', async () => {
    const host = await make({ name: 'sandbox-twelve', release: 'debian-12' });
    expect(await said(host, 'cat /etc/debian_version')).toMatch(/^12\./);
    expect((await ssh(host, 'id -un')).stdout).toBe('root\n');
  });

  test('is known by its own keys alone: another key in its place is refused', async () => {
    const host = await make({ name: 'sandbox-keys' });
    await said(host, 'rm /etc/ssh/ssh_host_* && ssh-keygen -A && systemctl restart ssh');
    const refused = await ssh(host, 'true');
    expect(refused.exitCode).toBe(255);
    expect(refused.stderr).toContain('Host key verification failed');
  });

  test('comes back from a reboot of its own, and from stop and start, with what it had', async () => {
    const host = await make({ name: 'sandbox-reboot' });
    const boot = async () => await said(host, 'stat --format=%Z /proc/1');
    const before = await boot();
    await said(host, 'touch /root/kept');
    await ssh(host, 'systemd-run --quiet --on-active=1 systemctl reboot');
    await expect.poll(async () => await boot().catch(() => before), { timeout: 30_000 }).not.toBe(before);
    await expect.poll(async () => (await ssh(host, 'ls /root/kept')).stdout, { timeout: 30_000 }).toBe('/root/kept\n');

    expect((await stop(host.name)).state).toBe('stopped');
    expect((await ssh(host, 'true')).exitCode).toBe(255);
    const again = await start(host.name);
    expect(again).toEqual(host);
    expect((await ssh(again, 'ls /root/kept')).stdout).toBe('/root/kept\n');
  });

  test('can be copied when it is stopped; the copy is a host of its own', async () => {
    const source = await make({ name: 'sandbox-source', varieties: ['debian-user'] });
    await said(source, 'touch /etc/prepared');
    await expect(make({ name: 'sandbox-copy', from: source.name })).rejects.toThrow('is running');
    await stop(source.name);
    const copy = await make({ name: 'sandbox-copy', from: source.name });
    expect(copy).toMatchObject({ user: 'debian', varieties: ['debian-user'] });
    expect(copy.address).not.toBe(source.address);
    expect(copy.knownHosts.split(' ')[2]).not.toBe(source.knownHosts.split(' ')[2]);
    expect((await ssh(copy, 'hostname; ls /etc/prepared')).stdout).toBe('sandbox-copy\n/etc/prepared\n');
    await start(source.name);
    const ids = [await said(source, 'cat /etc/machine-id'), await said(copy, 'cat /etc/machine-id')];
    expect(ids[0]).not.toBe(ids[1]);
    await said(copy, `ping -c1 -W2 ${source.address} && ping -c1 -W2 ${source.address6}`);
  });

  test('has the packages that most hosts get from Slipway where that is asked for, started as on any host', async () => {
    const host = await make({ name: 'sandbox-equipped', equipped: true });
    const active = async () => (await run(host.name, ['systemctl', 'is-active', 'docker', 'nginx', 'cron'])).stdout;
    await expect.poll(active, { timeout: 60_000 }).toBe('active\nactive\nactive\n');
    expect(await said(host, 'restic version; ls /var/lib/apt/lists')).toMatch(/^restic \S+ compiled .*$/);
  });

  test('is the same one when it is asked for again, and refused as another kind', async () => {
    const host = await make({ name: 'sandbox-again' });
    expect(await make({ name: host.name })).toEqual(host);
    await expect(make({ name: host.name, varieties: ['no-sudo'] })).rejects.toMatchObject({
      code: 'sandbox-host-exists',
    });
  });

  test.each(['Upper', '9lives', 'internet', '../up', ''])('cannot be called %j', async (name) => {
    await expect(up({ name })).rejects.toMatchObject({ code: 'usage' });
  });

  test('nobody has heard of is an error with a next step', async () => {
    for (const ask of [stop, start, (name: string) => down([name]), (name: string) => run(name, ['true'])]) {
      await expect(ask('sandbox-nobody')).rejects.toMatchObject({ code: 'sandbox-host-unknown' });
    }
  });
});

describe('two processes at a time', () => {
  const script = (name: string) =>
    `import { up } from '#sandbox/sandbox'; console.log((await up({ name: '${name}' })).address);`;

  function another(name: string) {
    made.add(name);
    return spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '--eval', script(name)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
  }

  test('get hosts with addresses of their own, and the same host for the same name', async () => {
    const all = ['sandbox-one', 'sandbox-two', 'sandbox-two'].map(another);
    const [one, two, same] = await Promise.all(all.map(async (child) => await text(child.stdout)));
    expect(one).toMatch(/^10\.203\.7\.\d+\n$/);
    expect(two).not.toBe(one);
    expect(two).toBe(same);
  });

  test.each([0.6, 1.2, 2])('killed after %f s, the next one makes the host all the same', async (seconds) => {
    const child = another('sandbox-killed');
    await sleep(seconds * 1000);
    child.kill('SIGKILL');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    const host = await make({ name: 'sandbox-killed' });
    expect((await ssh(host, 'hostname')).stdout).toBe('sandbox-killed\n');
    await down([host.name]);
    expect(await remainsOf(host.name)).toEqual([]);
  });
});

describe('a variety', () => {
  test('root-password: a password opens the door, a key does not', async () => {
    const host = await make({ name: 'sandbox-password', varieties: ['root-password'] });
    expect(host.password).toMatch(/^.{16}$/);
    expect((await ssh(host, 'true')).stderr).toContain('Permission denied (publickey,password)');
    expect((await runHere(['stat', '--format=%a', `${host.tree}/../host.json`])).stdout).toBe('600\n');
    expect(await said(host, 'sshd -T')).toMatch(/permitrootlogin yes[\s\S]*passwordauthentication yes/);
  });

  test('debian-user: sudo without a password, no way in for root', async () => {
    const host = await make({ name: 'sandbox-debian', varieties: ['debian-user'] });
    expect((await ssh(host, 'id -un; sudo -n id -un')).stdout).toBe('debian\nroot\n');
    expect((await ssh({ ...host, user: 'root' }, 'true')).exitCode).toBe(255);
  });

  test('cloud-init with ssh-socket: passwords are let in again, and no sshd waits', async () => {
    const host = await make({ name: 'sandbox-socket', varieties: ['ssh-socket', 'cloud-init'] });
    expect((await ssh(host, 'systemctl is-active ssh.socket')).stdout).toBe('active\n');
    expect(await said(host, 'systemctl is-enabled ssh.service || true')).toBe('disabled');
    expect(await said(host, 'cat /etc/ssh/sshd_config.d/50-cloud-init.conf')).toBe('PasswordAuthentication yes');
  });

  test('apt-locked: apt is refused at first, and not for ever', async () => {
    const host = await make({ name: 'sandbox-locked', varieties: ['apt-locked'] });
    const refused = await ssh(host, 'apt-get update');
    expect(refused.stderr).toContain('Could not get lock /var/lib/apt/lists/lock');
    expect((await ssh(host, 'dpkg --configure -a')).stderr).toContain('dpkg frontend lock was locked by');
    const waited = await said(host, 'until apt-get update >/dev/null 2>&1; do sleep 1; done; date +%s', 60);
    expect(Number(waited)).toBeGreaterThan(0);
  });

  test('disk-nearly-full: 60 MB are left until the ballast goes', async () => {
    const host = await make({ name: 'sandbox-full', varieties: ['disk-nearly-full'], aptCache: false });
    const left = async () => Number(await said(host, 'df --output=avail / | tail -n1')) / 1024;
    expect(await left()).toBeLessThan(61);
    const full = await run(host.name, ['fallocate', '--length', '100M', '/var/tmp/more']);
    expect(full.stderr).toContain('No space left on device');
    await said(host, 'rm -f /var/log/ballast /var/tmp/more');
    expect(await left()).toBeGreaterThan(300);
    await stop(host.name);
    await start(host.name);
    expect(await left()).toBeGreaterThan(300);
    await down([host.name]);
    expect(await remainsOf(host.name)).toEqual([]);
    expect((await runHere(['losetup', '--list', '--noheadings', '--output', 'BACK-FILE'])).stdout).not.toContain(
      host.name,
    );
  });

  test('no-sudo: there is none', async () => {
    const host = await make({ name: 'sandbox-sudoless', varieties: ['no-sudo', 'debian-user'] });
    expect((await ssh(host, 'sudo -n true')).exitCode).toBe(127);
  });
});

describe('the internet', () => {
  test('names hosts and what is set, and passes other names on', async () => {
    await internet();
    const host = await make({ name: 'sandbox-names' });
    const resolve = async (name: string) => (await run(host.name, ['getent', 'ahosts', name])).stdout;
    expect(await resolve('sandbox-names.sandbox.test')).toContain(host.address6);
    expect(await resolve('shop-names.sandbox.test')).toBe('');
    await setRecord('shop-names.sandbox.test', { a: [host.address], aaaa: [host.address6] });
    const found = await resolve('shop-names.sandbox.test');
    expect(found).toContain(host.address);
    expect(found).toContain(host.address6);
    await setRecord('shop-names.sandbox.test', {});
    expect(await resolve('shop-names.sandbox.test')).toBe('');
    await said(host, 'apt-get update');
  });

  test('has a CA and a registry, served with certificates that a bare host trusts', async () => {
    const { acmeDirectory, acmeRoots, registry } = await internet();
    const host = await make({ name: 'sandbox-pull' });
    await said(
      host,
      'apt-get update --quiet && apt-get install --yes --no-install-recommends curl docker.io docker-cli busybox-static',
    );
    expect(JSON.parse(await said(host, `curl --silent --show-error --fail ${acmeDirectory}`))).toHaveProperty(
      'newOrder',
    );
    expect(await acmeRoots()).toContain('BEGIN CERTIFICATE');

    const image = `${registry}/sandbox-test/busybox:latest`;
    await said(host, 'mkdir -p /tmp/image/bin && cp /bin/busybox /tmp/image/bin/');
    await said(host, `tar --create --directory=/tmp/image . | docker import - ${image}`);
    expect(await said(host, `docker run --rm ${image} /bin/busybox echo from a container`)).toBe('from a container');
    await said(host, `docker push ${image} && docker image rm --force ${image} && docker pull ${image}`);
    expect(await said(host, `docker run --rm ${image} /bin/busybox wget -q -O - https://${registry}/v2/ || true`)).toBe(
      '{}',
    );
  });
});

describe('where it cannot run', () => {
  async function refusal(options: { readonly uid?: number; readonly path?: string }): Promise<string> {
    const script = `import { checkRequirements } from '#sandbox/requirements';
      await checkRequirements().catch((error) => console.log(error.code, error.message, error.hint));`;
    const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '--eval', script], {
      ...(options.uid === undefined ? {} : { uid: options.uid, gid: options.uid }),
      env: { ...process.env, HOME: tmpdir(), ...(options.path === undefined ? {} : { PATH: options.path }) },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    return await text(child.stdout);
  }

  test('it says that it needs root', async () => {
    expect(await refusal({ uid: 65534 })).toMatch(/^sandbox-unavailable .*only root may.*sudo/);
  });

  test('it names every missing package, and what installs them', async () => {
    expect(await refusal({ path: '/nonexistent' })).toMatch(
      /^sandbox-unavailable .*`apt-get install --yes --no-install-recommends .*systemd-container.*openssl/,
    );
  });
});
