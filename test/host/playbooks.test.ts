import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Environment } from '#inventory/environment';
import { assemble } from '#plan/assemble';
import type { Playbook } from '#playbook/playbook';
import type { Declared } from '#playbook/resources';
import { certificates } from '#playbooks/certificates';
import { harden } from '#playbooks/harden';
import { logs } from '#playbooks/logs';
import { proxy } from '#playbooks/proxy';
import type { Facts } from '#protocol/facts';
import { down, type Release, type SandboxHost, up } from '#sandbox/sandbox';
import { type OnHost, onHost } from '#test/support/converge';
import { fourPhases, says } from '#test/support/four-phases';
import { routesBy } from '#test/support/hardened';
import { environments, render } from '#test/unit/playbooks/environments';

const DOMAINS = ['shop.example.com', 'www.shop.example.com'];

const REQUEST = 'printf "GET %s HTTP/1.0\\r\\nHost: %s\\r\\n%b\\r\\n"';
/** A request over plain http: its arguments are the path and the domain. */
const PLAIN = `exec 3<>/dev/tcp/127.0.0.1/80; ${REQUEST} "$0" "$1" "" >&3; cat <&3`;

const workers = async (host: OnHost) =>
  (await says(host, 'pgrep -P "$(cat /run/nginx.pid)" | sort')).split('\n').filter((pid) => pid !== '');

/** An environment with nothing in it but what these tests are about. */
function environmentFor(sandbox: SandboxHost): Environment {
  const [any] = fc.sample(environments, { numRuns: 1, seed: 1 });
  if (any === undefined) throw new Error('fast-check gave no environment');
  const service = { image: 'acme/shop:1', environment: {}, volumes: [], compose: {}, build: undefined, dependsOn: [] };
  return {
    ...any,
    app: 'shop',
    ssh: {
      user: 'deploy',
      authorizedKeys: [readFileSync(`${sandbox.keyFile}.pub`, 'utf8').trim()],
      allowFrom: 'any',
      port: undefined,
      options: {},
    },
    harden: {
      ...any.harden,
      ...{ sysctl: {}, allowModules: [], coreDumps: false, timeSync: true, auditd: false, swap: undefined },
      unattendedUpgrades: { enabled: true, reboot: false, rebootTime: '04:00' },
    },
    services: {
      web: { name: 'web', ...service, replicas: 2, order: undefined, healthPath: '/up', healthcheck: undefined },
    },
    routes: [
      { domain: 'shop.example.com', paths: [{ path: '/', service: 'web', port: 3000 }] },
      {
        domain: 'www.shop.example.com',
        paths: [
          { path: '/a%20"b"', service: 'web', port: 3001 },
          { path: '/live', service: 'web', port: 3000 },
        ],
      },
    ],
    accessories: {},
  };
}

describe.each<{ release: Release; name: string }>([
  { release: 'debian-13', name: 'play-13' },
  { release: 'debian-12', name: 'play-12' },
])('on a bare $release', ({ release, name }) => {
  let sandbox: SandboxHost;
  let host: OnHost;
  let environment: Environment;
  let facts: Facts;

  const of = (playbook: Playbook): readonly Declared[] =>
    playbook.resources({ environment, host: 'web', facts, render });
  const base = (): readonly Declared[] =>
    assemble([harden, proxy, logs].map((playbook) => ({ playbook: playbook.name, resources: of(playbook) })));

  beforeAll(async () => {
    await down([name]).catch(() => undefined);
    sandbox = await up({ name, release, aptCache: true });
    host = await onHost(sandbox);
    environment = environmentFor(sandbox);
    ({ facts } = await host.plan([]));
  });

  afterAll(async () => {
    await host?.[Symbol.asyncDispose]();
    await down([name]);
  });

  test('hardening, proxy and logs converge, proven by a login as the new user', async () => {
    await fourPhases(host, base(), { loginUser: 'deploy' });
  });

  test('sshd, sudo, firewall, bans and updates are in effect', async () => {
    const sshd = await says(host, 'sshd -T');
    for (const line of ['permitrootlogin no', 'passwordauthentication no', 'maxauthtries 3', 'loglevel VERBOSE']) {
      expect(sshd.split('\n')).toContain(line);
    }
    expect(sshd).toMatch(/^kexalgorithms .*curve25519-sha256/m);
    expect(await says(host, 'su deploy -c "sudo -n id -un"')).toBe('root');
    const ufw = await says(host, 'ufw status verbose');
    expect(ufw).toContain('Default: deny (incoming), allow (outgoing)');
    for (const port of [22, 80, 443]) expect(ufw).toMatch(new RegExp(`^${port}/tcp +ALLOW IN +Anywhere`, 'm'));
    await says(host, 'fail2ban-client set sshd banip 192.0.2.1');
    await expect.poll(() => says(host, 'nft list ruleset'), { timeout: 20_000 }).toContain('192.0.2.1');
    const jail = await says(host, 'fail2ban-client get sshd ignorecommand; fail2ban-client get sshd bantime');
    expect(jail).toContain('/usr/local/lib/slipway/knows-address <ip>');
    expect(jail).toContain('3600');
    expect(await says(host, `/usr/local/lib/slipway/knows-address ${facts.clientAddress}; echo $?`)).toBe('0');
    expect(await says(host, '/usr/local/lib/slipway/knows-address 192.0.2.1; echo $?')).toBe('1');
    const apt = await says(host, 'apt-config dump');
    expect(apt).toContain('Unattended-Upgrade::Automatic-Reboot-WithUsers "true";');
    expect(apt).toMatch(/Origins-Pattern:: "[^"]*label=Debian-Security/);
    expect(await says(host, 'systemctl is-active fail2ban nginx ssh cron')).toBe('active\nactive\nactive\nactive');
  });

  test('what crashed leaves nothing, what is not needed is not loaded, and nothing is started from shared memory', async () => {
    expect(await says(host, 'su - deploy -c "ulimit -c; ulimit -Hc"')).toBe('0\n0');
    expect(await says(host, 'systemd-analyze cat-config systemd/coredump.conf')).toContain('\nStorage=none');
    expect(await says(host, 'modprobe --showconfig')).toContain('install usb_storage /bin/false');
    await says(host, 'cp /bin/true /dev/shm/true');
    expect(await says(host, '/dev/shm/true; rm /dev/shm/true')).toContain('Permission denied');
    expect(await says(host, 'stat -c "%a" /etc/cron.d /etc/ssh/sshd_config')).toBe('700\n600');
    expect(await says(host, 'sysctl -n net.ipv4.conf.all.log_martians net.ipv4.conf.all.accept_redirects')).toBe(
      '1\n0',
    );
    expect(await says(host, 'systemctl restart ufw && sysctl -n net.ipv4.conf.all.log_martians')).toBe('1');
  });

  test('updates come from where security updates are, and nobody is asked at a terminal', async () => {
    const trial = await says(host, 'unattended-upgrade --dry-run --debug 2>&1 | grep --max-count=1 Allowed');
    expect(trial).toMatch(/Allowed origins are: .*codename=\w+-security,label=Debian-Security/);
    expect(await says(host, 'systemctl is-active apt-daily.timer apt-daily-upgrade.timer')).toBe('active\nactive');
    // A terminal, no word of a person, and no variable that says so: needrestart would wait here for ever.
    const install = 'env -u DEBIAN_FRONTEND -u NEEDRESTART_MODE apt-get install -y --reinstall debsums';
    const pids = (unit: string) => says(host, `systemctl show --value --property MainPID ${unit}`);
    const before = [await pids('ssh.service'), await pids('nginx.service')];
    // The same library in a new file: what an update leaves behind for the programs that use the old one.
    await says(host, 'lib=$(readlink -f /usr/lib/*/libz.so.1) && cp -p $lib $lib.new && mv $lib.new $lib');
    const terminal = await host.sh(`timeout 120 script -qec '${install}' /dev/null < /dev/null`);
    expect(terminal.code, terminal.stdout).toBe(0);
    expect(await pids('ssh.service')).toBe(before[0]);
    expect(await pids('nginx.service')).not.toBe(before[1]);
  });

  test('what the inventory relaxes is relaxed, and comes back', async () => {
    const strict = environment;
    environment = {
      ...strict,
      harden: {
        ...strict.harden,
        coreDumps: true,
        allowModules: ['usb_storage'],
        sysctl: { 'net.ipv4.conf.all.log_martians': '0' },
      },
    };
    expect((await host.up(base(), { loginUser: 'deploy' })).error?.message).toBeUndefined();
    expect(await says(host, 'su - deploy -c "ulimit -Hc"')).toBe('unlimited');
    expect(await says(host, 'modprobe --showconfig')).not.toContain('install usb_storage');
    expect(await says(host, 'sysctl -n net.ipv4.conf.all.log_martians')).toBe('0');
    environment = strict;
    expect((await host.up(base(), { loginUser: 'deploy' })).error?.message).toBeUndefined();
    expect(await says(host, 'sysctl -n net.ipv4.conf.all.log_martians')).toBe('1');
  });

  test('nginx takes its whole configuration without a word, both slots and all domains included', async () => {
    for (const domain of DOMAINS) {
      const folder = `/etc/slipway/certificates/${domain}/current`;
      await says(
        host,
        `mkdir -p ${folder} && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=${domain} -keyout ${folder}/key.pem -out ${folder}/fullchain.pem`,
      );
    }
    const sites = of(certificates).filter(({ kind }) => kind === 'nginx-site');
    const before = await workers(host);
    const run = await host.up([...base(), routesBy(environment, facts), ...sites], { loginUser: 'deploy' });
    expect(run.error?.message).toBeUndefined();
    expect(await says(host, 'nginx -t -q')).toBe('');
    // A reload returns before it is done: for a moment the old workers, which know no domain yet, still accept.
    const stillThere = async () => (await workers(host)).filter((pid) => before.includes(pid));
    await expect.poll(stillThere, { timeout: 10_000 }).toEqual([]);
    const ask = async (domain: string, path: string, header = '') => {
      const request = `${REQUEST} '${path}' ${domain} '${header}'`;
      const answer = await says(
        host,
        `${request} | openssl s_client -quiet -connect 127.0.0.1:443 -servername ${domain}`,
      );
      return /^HTTP.*$/m.exec(answer)?.[0].trim();
    };
    // No container is there, nor anybody else: that nginx tries, and which slot, is what counts here.
    await says(host, 'ip route replace unreachable 172.29.0.0/16');
    expect(await ask('shop.example.com', '/')).toMatch(/ 50[24] /);
    expect(await ask('www.shop.example.com', '/nowhere')).toBe('HTTP/1.1 404 Not Found');
    expect(await ask('www.shop.example.com', '/a%20%22b%22')).toMatch(/ 50[24] /);
    await ask('shop.example.com', '/forced?password=canary', 'X-Slipway-Slot: green\\r\\n');
    // nginx writes its log every quarter of a second.
    const log = await says(host, 'sleep 0.5; cat /var/log/nginx/shop.json');
    const entries = log.split('\n').map((line) => JSON.parse(line) as Record<string, string>);
    // Each worker writes what it has, so the lines of two are in no order.
    expect(entries).toContainEqual(expect.objectContaining({ slot: 'blue', host: 'shop.example.com', path: '/' }));
    expect(entries).toContainEqual(expect.objectContaining({ slot: 'green', path: '/forced' }));
    expect(log).not.toContain('canary');
    await says(host, 'mkdir -p /var/lib/slipway/slots/shop && touch /var/lib/slipway/slots/shop/green');
    await ask('shop.example.com', '/flipped');
    expect(await says(host, 'sleep 0.5; grep /flipped /var/log/nginx/shop.json')).toContain('"slot":"green"');
  });

  test('strangers get no answer, plain http is sent to https, challenges are served', async () => {
    const plain = (domain: string, path: string) => says(host, `bash -c '${PLAIN}' '${path}' ${domain}`);
    expect(await plain('stranger.example.org', '/')).toBe('');
    expect(await plain('shop.example.com', '/x?y=1')).toMatch(
      /308 [\s\S]*Location: https:\/\/shop\.example\.com\/x\?y=1/,
    );
    await says(
      host,
      'install -d /var/lib/slipway/acme/.well-known/acme-challenge && echo proof > /var/lib/slipway/acme/.well-known/acme-challenge/t0k',
    );
    expect(await plain('shop.example.com', '/.well-known/acme-challenge/t0k')).toMatch(/200 OK[\s\S]*proof$/);
    const stranger = await says(
      host,
      'openssl s_client -connect 127.0.0.1:443 -servername stranger.example.org < /dev/null',
    );
    expect(stranger).toMatch(/unrecognized name|alert number 112/);
  });

  test('the access log is rotated and nginx goes on writing, as the same processes', async () => {
    const before = await workers(host);
    expect(await says(host, 'logrotate --force /etc/logrotate.d/slipway-shop')).toBe('');
    await says(
      host,
      "sleep 0.5; printf 'GET / HTTP/1.0\\r\\nHost: shop.example.com\\r\\n\\r\\n' | openssl s_client -quiet -connect 127.0.0.1:443 -servername shop.example.com",
    );
    expect(await says(host, 'stat -c "%a %U %G" /var/log/nginx/shop.json')).toBe('640 www-data adm');
    expect(await says(host, 'sleep 0.5; wc -l < /var/log/nginx/shop.json')).not.toBe('0');
    expect(await workers(host)).toEqual(before);
  });
});
