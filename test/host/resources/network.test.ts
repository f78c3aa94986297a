import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { run } from '#core/run';
import { fail2banJail, logrotateRule, nftTable, nginxLimits, nginxSite, ufw, ufwRule } from '#playbook/resources';
import { reload } from '#resources/resource';
import { down, type SandboxHost, up } from '#sandbox/sandbox';
import { type OnHost, onHost } from '#test/support/converge';
import { converges, fourPhases, RELEASE, says } from '#test/support/four-phases';

const NAME = 'net-wall';

let sandbox: SandboxHost;
let host: OnHost;

beforeAll(async () => {
  await down([NAME]).catch(() => undefined);
  sandbox = await up({ name: NAME, release: RELEASE, aptCache: true, equipped: RELEASE === 'debian-13' });
  host = await onHost(sandbox);
  const prepared = await host.sh(`set -e; export DEBIAN_FRONTEND=noninteractive
    apt-get update -q
    apt-get install -y -q --no-install-recommends ufw nftables fail2ban python3-systemd nginx logrotate curl busybox-static docker.io iptables
    dpkg --compare-versions "$(. /etc/os-release; echo $VERSION_ID)" lt 13 || apt-get install -y -q --no-install-recommends docker-cli
    mkdir -p /tmp/image/bin; cp /bin/busybox /tmp/image/bin; ln -s busybox /tmp/image/bin/httpd
    tar -C /tmp/image -c . | docker import - box:1`);
  expect(prepared).toMatchObject({ code: 0 });
});

afterAll(async () => {
  await host?.[Symbol.asyncDispose]();
  await down([NAME]);
});

/** Whether a TCP port answers, seen from another machine. */
async function answers(address: string, port: number): Promise<boolean> {
  const output = await run(['bash', '-c', `exec 3<>/dev/tcp/${address}/${port}`], { timeout: 3 });
  return output.exitCode === 0;
}

describe('the firewall', () => {
  const ssh = ufwRule({ port: 22, comment: 'ssh' });
  const resources = () => [
    ssh,
    ufwRule({ port: 80, comment: 'http' }),
    ufwRule({ port: 5432, from: '10.9.8.7/24', comment: 'database' }),
    ufwRule({ action: 'limit', port: 2222, from: 'fd00::/8' }),
    ufwRule({ action: 'deny', port: 53, protocol: 'udp' }),
    ufw({}),
  ];
  const inForce = () => says(host, `ufw status | grep -E '^[0-9]' | tr -s ' ' | sed 's/ $//' | sort`);
  const expected = [
    '22/tcp (v6) ALLOW Anywhere (v6) # slipway:ssh',
    '22/tcp ALLOW Anywhere # slipway:ssh',
    '2222/tcp LIMIT fd00::/8 # slipway:2222/tcp',
    '53/udp (v6) DENY Anywhere (v6) # slipway:53/udp',
    '53/udp DENY Anywhere # slipway:53/udp',
    '5432/tcp ALLOW 10.9.8.0/24 # slipway:database',
    '80/tcp (v6) ALLOW Anywhere (v6) # slipway:http',
    '80/tcp ALLOW Anywhere # slipway:http',
  ];
  const ours = async () =>
    (await inForce())
      .split('\n')
      .filter((line) => line.includes('slipway:'))
      .sort();

  test.each([
    ['without any rule for SSH', [ufwRule({ port: 80 }), ufw({})], 'port 22'],
    ['that lets SSH in from elsewhere', [ufwRule({ port: 22, from: '203.0.113.9' }), ufw({})], 'port 22'],
    ['that forgets the port sshd moves to', [ssh, ufw({ sshPorts: [2222] })], 'port 2222'],
  ])('is not enabled %s', async (_, declared, part) => {
    const { error } = await host.up(declared);
    expect(error).toMatchObject({ code: 'firewall-would-lock-out' });
    expect(error?.message).toContain(part);
    expect(await says(host, 'ufw status')).toBe('Status: inactive');
  });

  test('converges in four phases, over IPv4 and IPv6', async () => {
    await host.up([]);
    expect(await answers(sandbox.address, 8081)).toBe(false);
    await host.sh('systemd-run --unit=open busybox nc -ll -p 8081 -e true');
    await host.sh('sleep 1');
    expect(await answers(sandbox.address, 8081)).toBe(true);
    await fourPhases(host, resources());
    expect(await ours()).toEqual(expected.sort());
    expect(await answers(sandbox.address, 8081)).toBe(false);
    expect(await answers(sandbox.address6, 8081)).toBe(false);
    expect(await answers(sandbox.address6, 22)).toBe(true);
    expect(await says(host, 'ufw status verbose | grep -E "^(Default|Logging)"')).toBe(
      'Logging: on (low)\nDefault: deny (incoming), allow (outgoing), deny (routed)',
    );
  });

  test('comes back from whatever was done to it, and then rests', async () => {
    const harm = fc.constantFrom(
      'ufw disable',
      'ufw --force reset',
      'ufw delete allow 80/tcp',
      'ufw delete allow proto tcp from ::/0 to ::/0 port 80',
      'ufw allow 80/tcp comment slipway:old',
      'ufw limit 22/tcp comment slipway:ssh',
      'ufw default allow incoming; ufw logging off',
      'sed -i s/IPV6=yes/IPV6=no/ /etc/default/ufw',
      'iptables -P INPUT ACCEPT; iptables -F INPUT',
      'ip6tables -F ufw6-user-input',
      'systemctl disable ufw.service',
    );
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(harm, { minLength: 1, maxLength: 3 }), async (scripts) => {
        for (const script of scripts) await host.sh(script);
        await converges(host, resources());
        expect(await ours()).toEqual(expected.sort());
        expect(await says(host, 'iptables -S INPUT | head -1; systemctl is-enabled ufw')).toBe(
          '-P INPUT DROP\nenabled',
        );
      }),
      { numRuns: 6, endOnFailure: true },
    );
  });

  test('leaves the rules of others alone, equal ones too', async () => {
    await host.sh(
      'ufw allow 8443/tcp comment mine; ufw allow 9443/tcp; ufw allow from 192.0.2.1 to any port 22 proto tcp',
    );
    await converges(host, [...resources(), ufwRule({ port: 8443, comment: 'ours' })]);
    const { error } = await host.up([...resources(), ufwRule({ action: 'deny', port: 9443 })]);
    expect(error).toMatchObject({ code: 'firewall-conflict' });
    await converges(host, resources());
    expect((await inForce()).split('\n')).toEqual(
      expect.arrayContaining(['8443/tcp ALLOW Anywhere # mine', '9443/tcp ALLOW Anywhere', '22/tcp ALLOW 192.0.2.1']),
    );
  });

  test('is undone where no fresh login proves access', async () => {
    const before = await inForce();
    const { error } = await host.up([ssh, ufwRule({ action: 'deny', port: 80 }), ufw({})], { loginUser: 'nobody' });
    expect(error).toMatchObject({ code: 'guard-undone' });
    expect(await inForce()).toBe(before);
  });

  test('goes when it is no longer declared; foreign rules stay', async () => {
    expect((await host.up([])).error?.message).toBeUndefined();
    expect(await says(host, 'ufw status')).toBe('Status: inactive');
    const added = await says(host, 'ufw show added');
    expect(added).not.toContain('slipway');
    expect(added).toContain("allow 8443/tcp comment 'mine'");
    expect(await answers(sandbox.address, 8081)).toBe(true);
  });

  test('that was enabled before stays enabled', async () => {
    await host.sh('ufw allow 22/tcp; ufw default allow routed; ufw --force enable');
    await converges(host, resources());
    await host.up([]);
    expect(await says(host, 'ufw status verbose | grep -E "^(Status|Default)"')).toBe(
      'Status: active\nDefault: deny (incoming), allow (outgoing), allow (routed)',
    );
    await host.sh('ufw --force reset; systemctl stop open');
  });

  test('that is full of rules of somebody keeps them: their order, profiles and level of logging', async () => {
    await host.sh(`ufw allow OpenSSH; ufw deny from 198.51.100.9; ufw limit 80/tcp; ufw allow in on host0 to any port 443
      ufw allow 'Nginx Full'; ufw route allow in on wg0 out on host0; ufw insert 1 reject from 203.0.113.7 to any port 22
      ufw logging high; ufw --force enable`);
    const theirs = async () =>
      (await says(host, "ufw status | grep -E '^[0-9A-Z]' | grep -vE 'slipway:|^(Status:|To )'")).split('\n');
    const before = await theirs();
    expect(before).toHaveLength(12);
    await converges(host, resources());
    expect(await theirs()).toEqual(before);
    // One of theirs does what is declared.
    expect(await ours()).toEqual(expected.filter((rule) => !rule.startsWith('80/tcp')).sort());
    expect(await says(host, 'ufw status verbose | grep Logging')).toBe('Logging: on (high)');
    await host.up([]);
    expect(await theirs()).toEqual(before);
    await host.sh('ufw --force reset');
  });
});

describe('a packet filter table', () => {
  const table = (open: string) => [
    nftTable({
      name: 'slipway',
      rules: `set open { type inet_service; elements = { ${open} } }
chain forward {
  type filter hook forward priority filter - 1; policy accept;
  iifname "host0" ct state new ct status dnat meta l4proto tcp ct original proto-dst != @open counter drop
}`,
    }),
  ];

  test('converges in four phases, and closes what a container publishes in spite of ufw', async () => {
    await host.sh('docker run -d --name web -p 8080:80 box:1 httpd -f -p 80; ufw allow 22/tcp; ufw --force enable');
    expect(await answers(sandbox.address, 8080)).toBe(true);
    await fourPhases(host, table('80, 443'));
    expect(await answers(sandbox.address, 8080)).toBe(false);
    await converges(host, table('8080'));
    expect(await answers(sandbox.address, 8080)).toBe(true);
    await converges(host, table('443'));
    expect(await answers(sandbox.address, 8080)).toBe(false);
    await host.sh('systemctl restart docker; docker start web; ufw reload');
    expect(await answers(sandbox.address, 8080)).toBe(false);
    await host.sh('ufw --force reset');
  });

  test('comes back from whatever was done to it, and then rests', async () => {
    const harm = fc.constantFrom(
      'nft delete table inet slipway',
      'nft add element inet slipway open { 8080 }',
      'nft flush ruleset',
      'systemctl disable --now slipway-nft-slipway.service',
      'echo "# by hand" >> /etc/slipway/nftables/slipway.nft',
      'rm /etc/systemd/system/slipway-nft-slipway.service; systemctl daemon-reload',
      'rm -r /var/lib/slipway/nftables',
    );
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(harm, { minLength: 1, maxLength: 3 }), async (scripts) => {
        for (const script of scripts) await host.sh(script);
        await converges(host, table('443'));
        expect(await says(host, 'nft list set inet slipway open')).toContain('elements = { 443 }');
        expect(await says(host, 'systemctl is-enabled slipway-nft-slipway')).toBe('enabled');
      }),
      { numRuns: 4, endOnFailure: true },
    );
  });

  test('that nft does not accept changes nothing', async () => {
    const { error } = await host.up([nftTable({ name: 'slipway', rules: 'chain a {\n  type filter hok forward;\n}' })]);
    expect(error).toMatchObject({ code: 'firewall-failed' });
    expect(error?.message).toContain('type filter hok');
    expect(await says(host, 'nft list set inet slipway open')).toContain('443');
  });

  test('that locks everybody out is undone', async () => {
    const rules =
      'chain input {\n  type filter hook input priority 0; policy accept;\n  tcp dport 22 ct state new drop\n}';
    const { error } = await host.up([nftTable({ name: 'slipway', rules })], { loginUser: 'nobody' });
    expect(error).toMatchObject({ code: 'guard-undone' });
    expect(await answers(sandbox.address, 22)).toBe(true);
    expect(await says(host, 'nft list set inet slipway open')).toContain('443');
  });

  test('goes when it is no longer declared', async () => {
    expect((await host.up([])).error?.message).toBeUndefined();
    expect(await says(host, 'nft list tables | grep slipway; ls /etc/systemd/system | grep slipway')).toBe('');
    await host.sh('docker rm -f web');
  });
});

describe('a jail', () => {
  const resources = () => [
    fail2banJail(
      { name: 'DEFAULT', options: { backend: 'systemd', banaction: 'nftables', ignoreip: ['127.0.0.1/8', '::1'] } },
      { triggers: [reload('fail2ban.service')] },
    ),
    fail2banJail({ name: 'sshd', options: { enabled: true, maxretry: 4 } }, { triggers: [reload('fail2ban.service')] }),
  ];

  test('converges in four phases', async () => {
    await fourPhases(host, resources());
    expect(await says(host, 'fail2ban-client get sshd maxretry')).toBe('4');
    expect(await says(host, 'fail2ban-client get sshd actions')).toContain('nftables');
  });

  test('runs again when fail2ban was stopped or its file changed', async () => {
    for (const script of [
      'systemctl stop fail2ban',
      'pkill -9 fail2ban-server',
      'echo "[x" > /etc/fail2ban/jail.d/sshd.local',
    ]) {
      await host.sh(script);
      await converges(host, resources());
      await host.sh('for i in 1 2 3 4 5; do fail2ban-client ping && break; sleep 1; done');
      expect(await says(host, 'fail2ban-client get sshd maxretry')).toBe('4');
    }
  });

  test('that fail2ban does not accept changes nothing', async () => {
    const wrong = fail2banJail({ name: 'sshd', options: { enabled: true, filter: 'nosuch' } });
    const { error } = await host.up([...resources().slice(0, 1), wrong]);
    expect(error).toMatchObject({ code: 'fail2ban-invalid' });
    expect(error?.message).toContain('nosuch');
    expect(await says(host, 'cat /etc/fail2ban/jail.d/sshd.local')).toContain('maxretry = 4');
  });

  test('goes when it is no longer declared', async () => {
    expect((await host.up([])).error?.message).toBeUndefined();
    expect(await says(host, 'ls /etc/fail2ban/jail.d')).toBe('defaults-debian.conf');
  });
});

describe('a site', () => {
  const RELOAD = { triggers: [reload('nginx.service')] };
  const silent = () =>
    nginxSite(
      {
        name: 'silent',
        files: {
          'conf.d/00-silent.conf': 'server { listen 80 default_server; listen [::]:80 default_server; return 444; }\n',
        },
        replaces: ['sites-enabled/default'],
      },
      RELOAD,
    );
  const shop = (answer = 'hello', more: Record<string, string> = {}) =>
    nginxSite(
      {
        name: 'shop',
        files: {
          'conf.d/shop.conf': `server {
  listen 80;
  server_name shop.test;
  include snippets/shop.conf;
  location / { return 200 "${answer}"; }
}
`,
          'snippets/shop.conf': 'access_log off;\n',
          ...more,
        },
      },
      RELOAD,
    );
  // nginx says that it has reloaded before its old workers stop listening.
  const asked = (name: string) =>
    says(host, `sleep 0.5; curl -s --max-time 3 -H "Host: ${name}" http://127.0.0.1/; echo " $?"`);

  test('converges in four phases and serves', async () => {
    expect(await asked('other.test')).toContain('Welcome to nginx');
    await fourPhases(host, [silent(), shop()]);
    expect(await asked('shop.test')).toBe('hello 0');
    expect(await asked('other.test')).toBe(' 52');
  });

  test('changes, and takes along what it no longer has', async () => {
    await converges(host, [silent(), shop('hello', { 'conf.d/shop-extra.conf': 'map $host $x { default 1; }\n' })]);
    await converges(host, [silent(), shop('changed')]);
    expect(await asked('shop.test')).toBe('changed 0');
    expect(await says(host, 'ls /etc/nginx/conf.d')).toBe('00-silent.conf\nshop.conf');
  });

  test.each([
    [
      'a word nginx does not know',
      shop('x', { 'conf.d/shop.conf': 'server {\n  lissten 80;\n}\n' }),
      ['lissten', '2 |   lissten 80;'],
    ],
    [
      'a certificate that is not there',
      shop('x', {
        'conf.d/tls.conf':
          'server {\n  listen 443 ssl;\n  ssl_certificate /nope.pem;\n  ssl_certificate_key /nope.key;\n}\n',
      }),
      ['/nope.pem', '3 |   ssl_certificate /nope.pem;'],
    ],
    [
      'a second default server',
      shop('x', { 'conf.d/zz.conf': 'server { listen 80 default_server; }\n' }),
      ['duplicate default server'],
    ],
  ])('with %s is refused before it replaces what runs', async (_, site, parts) => {
    const { error } = await host.up([silent(), site]);
    expect(error).toMatchObject({ code: 'nginx-invalid' });
    for (const part of parts) expect(error?.message).toContain(part);
    expect(await says(host, 'nginx -t -q; ls /etc/nginx/conf.d /run | grep -E "tls|zz|trial"')).toBe('');
    expect(await asked('shop.test')).toBe('changed 0');
  });

  test('names a file of somebody else that was broken before', async () => {
    await host.sh('echo "server { lissten 99; }" > /etc/nginx/conf.d/theirs.conf');
    const { error } = await host.up([silent(), shop('again')]);
    expect(error).toMatchObject({ code: 'nginx-broken-before' });
    expect(error?.message).toContain('/etc/nginx/conf.d/theirs.conf:1');
    expect(error?.hint).toContain('/etc/nginx/conf.d/theirs.conf');
    await host.sh('rm /etc/nginx/conf.d/theirs.conf');
  });

  test('comes back from whatever was done to it, and then rests', async () => {
    const harm = fc.constantFrom(
      'rm /etc/nginx/snippets/shop.conf',
      'rm /etc/nginx/conf.d/*',
      'echo "lissten;" >> /etc/nginx/conf.d/shop.conf',
      'echo > /etc/nginx/conf.d/00-silent.conf',
      'ln -sf /etc/nginx/sites-available/default /etc/nginx/sites-enabled/default',
      'chmod 600 /etc/nginx/conf.d/shop.conf; chown www-data /etc/nginx/conf.d/shop.conf',
    );
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(harm, { minLength: 1, maxLength: 3 }), async (scripts) => {
        for (const script of scripts) await host.sh(script);
        await converges(host, [silent(), shop()]);
        expect(await asked('shop.test')).toBe('hello 0');
        expect(await asked('other.test')).toBe(' 52');
      }),
      { numRuns: 6, endOnFailure: true },
    );
  });

  test('goes when it is no longer declared, broken or not, and what it replaced comes back', async () => {
    await host.sh(
      'echo "lissten;" >> /etc/nginx/conf.d/shop.conf; touch /var/lib/slipway/pending/reload@nginx.service',
    );
    expect((await host.up([])).error?.message).toBeUndefined();
    expect(await says(host, 'nginx -t -q; ls /etc/nginx/conf.d; readlink /etc/nginx/sites-enabled/default')).toBe(
      '/etc/nginx/sites-available/default',
    );
    expect(await asked('other.test')).toContain('Welcome to nginx');
  });
});

describe("nginx's limits", () => {
  const limits = () => nginxLimits({ connections: 16_384 }, { triggers: [reload('nginx.service')] });
  const files = "awk '/Max open files/ { print $4 }' /proc/$(pgrep -n -P $(cat /run/nginx.pid))/limits";

  test('converge in four phases beside what the owner wrote, by a reload, and go again', async () => {
    await host.sh('sed -i "s/# multi_accept on;/multi_accept on;/" /etc/nginx/nginx.conf');
    const before = await says(host, 'cat /etc/nginx/nginx.conf; stat -c %a /etc/nginx/nginx.conf');
    const [main, worker] = await Promise.all([says(host, 'cat /run/nginx.pid'), says(host, files)]);
    expect(Number(worker)).toBeLessThan(16_384);
    await fourPhases(host, [limits()]);
    expect(await says(host, 'nginx -t -q; grep -E "multi_accept|worker_conn" /etc/nginx/nginx.conf')).toBe(
      '\tworker_connections 16384; # Slipway; before: 768\n\tmulti_accept on;',
    );
    expect(await says(host, 'cat /run/nginx.pid')).toBe(main);
    await expect.poll(async () => Number(await says(host, files))).toBeGreaterThan(16_384);
    await host.sh('sed -i "s/16384/512/" /etc/nginx/nginx.conf');
    await converges(host, [limits()]);
    expect((await host.up([])).error?.message).toBeUndefined();
    expect(await says(host, 'cat /etc/nginx/nginx.conf; stat -c %a /etc/nginx/nginx.conf')).toBe(before);
  });

  test('that clash with what stands elsewhere leave what runs as it is', async () => {
    await host.sh('echo "worker_rlimit_nofile 4096;" > /etc/nginx/modules-enabled/theirs.conf');
    const { error } = await host.up([limits()]);
    expect(error).toMatchObject({ code: 'nginx-invalid' });
    expect(error?.message).toContain('worker_rlimit_nofile');
    expect(
      await says(host, 'rm /etc/nginx/modules-enabled/theirs.conf; nginx -t -q; grep -c Slipway /etc/nginx/nginx.conf'),
    ).toBe('0');
  });
});

describe('a rule of logrotate', () => {
  const rule = (word: string) =>
    logrotateRule({ name: 'shop', content: `/var/log/nginx/shop.json {\n  ${word}\n  rotate 30\n  missingok\n}\n` });

  test('converges in four phases', async () => {
    await fourPhases(host, [rule('daily')]);
    expect(await says(host, 'logrotate --debug /etc/logrotate.d/shop')).toContain('after 1 days');
  });

  test('that logrotate does not understand changes nothing', async () => {
    const { error } = await host.up([rule('dayly')]);
    expect(error).toMatchObject({ code: 'logrotate-invalid' });
    expect(error?.message).toContain("/etc/logrotate.d/shop:2 unknown option 'dayly'");
    expect(await says(host, 'cat /etc/logrotate.d/shop')).toContain('daily');
  });

  test('goes when it is no longer declared', async () => {
    await host.up([]);
    expect(await says(host, 'ls /etc/logrotate.d | grep shop')).toBe('');
  });
});
