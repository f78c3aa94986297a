import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { aptPackage, aptRepository } from '#playbook/resources';
import { down, type SandboxHost, up } from '#sandbox/sandbox';
import { type OnHost, onHost } from '#test/support/converge';
import { converges, fourPhases, RELEASE, says } from '#test/support/four-phases';

const NAME = 'sys-packages';
let sandbox: SandboxHost;
let host: OnHost;

beforeAll(async () => {
  await down([NAME]).catch(() => undefined);
  sandbox = await up({ name: NAME, release: RELEASE, aptCache: true });
  host = await onHost(sandbox);
});

afterAll(async () => {
  await host?.[Symbol.asyncDispose]();
  await down([NAME]);
});

const installed = (names: string) =>
  says(host, `dpkg-query -W -f '\${Package} \${db:Status-Status}\\n' ${names} 2>/dev/null`);

/** Holds the locks of apt and dpkg from another process, as an upgrade in the background does. */
async function holdLocks(seconds: number): Promise<void> {
  await host.sh(
    `systemd-run -q --unit=holder apt-get -o DPkg::Pre-Invoke::='sleep ${seconds}' install -y --reinstall hostname`,
  );
  await expect.poll(() => says(host, 'pgrep -x sleep >/dev/null; echo $?'), { timeout: 20_000 }).toBe('0');
}

describe('packages', () => {
  test('converge in four phases, on a host that has no lists yet, as one transaction', async () => {
    await host.sh('rm -rf /var/lib/apt/lists/*');
    await fourPhases(host, [
      aptPackage({ name: 'jq' }),
      aptPackage({ name: 'cron' }),
      aptPackage({ name: 'hostname' }),
    ]);
    expect(await installed('jq cron')).toBe('cron installed\njq installed');
    expect(await says(host, `echo '{"a":1}' | jq .a; systemctl is-active cron`)).toBe('1\nactive');
    // Only what is needed: jq's libraries came along, what cron recommends did not.
    expect(await installed('libjq1 exim4-base bsd-mailx')).toBe('libjq1 installed');
    const installs = await says(host, `grep -c '^Commandline: apt-get.* install ' /var/log/apt/history.log`);
    expect(installs).toBe('1');
  });

  test('go with what came along when they are no longer declared; what was there before stays', async () => {
    expect((await host.up([])).error?.message).toBeUndefined();
    expect(await installed('jq libjq1 libonig5 hostname')).toBe('hostname installed');
    expect(await says(host, 'systemctl is-active cron')).toBe('inactive');
  });

  test('stay as long as something that is not ours needs them', async () => {
    await host.up([aptPackage({ name: 'libonig5' })]);
    await host.sh('apt-get install -y -qq jq');
    expect((await host.up([])).error?.message).toBeUndefined();
    expect(await installed('jq libonig5')).toBe('jq installed\nlibonig5 installed');
    await host.sh('apt-get remove -y -qq jq; apt-get autoremove -y -qq');
    expect(await installed('libonig5')).not.toContain('libonig5 installed');
  });
});

describe('another process that works with packages', () => {
  test('is waited for, and named', async () => {
    await holdLocks(4);
    const { error, events } = await host.up([aptPackage({ name: 'tree' })]);
    expect(error?.message).toBeUndefined();
    const told = events.flatMap((event) => (event.type === 'progress' ? [event.message] : []));
    expect(told).toContainEqual(
      expect.stringMatching(/^waiting for apt-get \(pid \d+\), which holds the package system/),
    );
    expect(await installed('tree')).toBe('tree installed');
    await host.up([]);
  });

  test('is given up on at the deadline, and the next run goes on', async () => {
    await holdLocks(6);
    const { error } = await host.up([aptPackage({ name: 'tree', patience: 1 })]);
    expect(error).toMatchObject({ code: 'apt-locked', resource: 'apt-package:tree' });
    expect(error?.message).toMatch(/^apt-get \(pid \d+\) still holds \/var\/lib\/dpkg\/lock-frontend after 1\.0 s\.$/);
    await converges(host, [aptPackage({ name: 'tree' })]);
    await host.up([]);
  });
});

describe('what goes wrong is explained, and the next run goes on', () => {
  const tree = aptPackage({ name: 'tree' });

  test('a package that does not exist', async () => {
    const { error } = await host.up([aptPackage({ name: 'no-such-package' })]);
    expect(error).toMatchObject({ code: 'package-unknown', resource: 'apt-package:no-such-package' });
    expect(error?.message).toContain('Unable to locate package no-such-package');
    await host.up([]);
  });

  test('a mirror that does not answer', async () => {
    await host.sh(`cp -a /etc/apt/sources.list.d /root/sources; rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb
      sed -i 's|^URIs: .*|URIs: http://127.0.0.1:9/debian|' /etc/apt/sources.list.d/*.sources`);
    const { error } = await host.up([tree]);
    expect(error).toMatchObject({ code: 'mirror-unreachable' });
    expect(error?.message).toContain('127.0.0.1:9');
    expect(error?.hint).toContain('apt-get update');
    await host.sh('rm -rf /etc/apt/sources.list.d; mv /root/sources /etc/apt/sources.list.d');
    await converges(host, [tree]);
    await host.up([]);
  });

  test('a disk that is full', async () => {
    await host.sh('rm -f /var/cache/apt/archives/*.deb; mount -t tmpfs -o size=16k none /var/cache/apt/archives');
    const { error } = await host.up([aptPackage({ name: 'python3' })]);
    expect(error).toMatchObject({ code: 'disk-full' });
    await host.sh('umount /var/cache/apt/archives');
    await host.up([]);
  });

  test('packages left half-configured by an interrupted run', async () => {
    await host.sh('apt-get download -qq tree; dpkg --unpack tree_*.deb; rm tree_*.deb');
    expect(await installed('tree')).toBe('tree unpacked');
    const { steps } = await host.plan([tree]);
    expect(steps[0]?.changes).toEqual([{ summary: 'finish the installation of tree' }]);
    await converges(host, [tree]);
    expect(await says(host, 'dpkg --audit; tree --version | cut -d" " -f1')).toBe('tree');
    await host.up([]);
  });
});

test('killed at whatever moment, the next apply converges', async () => {
  const wanted = ['rsync', 'logrotate', 'jq', 'tree'].map((name) => aptPackage({ name }));
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 2, max: 40 }), async (tenths) => {
      await host.sh('apt-get purge -y -qq rsync logrotate jq tree; apt-get autoremove -y -qq');
      const interrupted = host.up(wanted).catch(() => undefined);
      await host.sh(`sleep ${tenths / 10}
        kill -9 $(sed -n 's/.*"pid":\\([0-9]*\\).*/\\1/p' /run/slipway/operation.json) $(pidof dpkg apt-get)`);
      await interrupted;
      await converges(host, wanted);
      expect(await says(host, 'dpkg --audit; ls /var/lib/dpkg/updates')).toBe('');
      expect(await installed('rsync logrotate jq tree')).toBe(
        'jq installed\nlogrotate installed\nrsync installed\ntree installed',
      );
    }),
    { numRuns: 3 },
  );
  await host.up([]);
});

describe('a repository beside the distribution’s own', () => {
  /** A repository with one package, signed by a key of its own, as a vendor publishes it. */
  const make = `set -e
    apt-get -qq update; apt-get -qq install -y gpg >/dev/null 2>&1
    mkdir -p /srv/vendor/dists/stable/main/binary-amd64 /srv/vendor/pool /tmp/demo/DEBIAN
    printf 'Package: vendor-demo\\nVersion: 1.0\\nArchitecture: all\\nMaintainer: V <v@example.com>\\nDescription: demo\\n' > /tmp/demo/DEBIAN/control
    dpkg-deb -b /tmp/demo /srv/vendor/pool/vendor-demo.deb >/dev/null
    cd /srv/vendor
    { dpkg-deb -f pool/vendor-demo.deb; echo "Filename: pool/vendor-demo.deb"
      echo "Size: $(stat -c %s pool/vendor-demo.deb)"; echo "SHA256: $(sha256sum pool/vendor-demo.deb | cut -d' ' -f1)"
    } > dists/stable/main/binary-amd64/Packages
    export GNUPGHOME=/root/vendor-keys; mkdir -pm 700 $GNUPGHOME
    for who in vendor stranger; do
      gpg --batch --quiet --passphrase '' --quick-gen-key $who@example.com rsa3072 sign never 2>/dev/null
      gpg --armor --export $who@example.com > /root/$who.asc
    done`;
  const sign = (date: string) => `set -e
    cd /srv/vendor/dists/stable; export GNUPGHOME=/root/vendor-keys
    { echo "Origin: vendor"; echo "Suite: stable"; echo "Codename: stable"; echo "Components: main"
      echo "Architectures: amd64"; echo "Date: $(date -Ru -d '${date}')"; echo "SHA256:"
      f=main/binary-amd64/Packages; echo " $(sha256sum $f | cut -d' ' -f1) $(stat -c %s $f) $f"; } > Release
    gpg --batch --yes -q -u vendor@example.com --clearsign -o InRelease Release; rm -rf /var/lib/apt/lists/*vendor*`;
  let key: string;
  let stranger: string;
  const vendor = (armored: string, uri = 'file:///srv/vendor') =>
    aptRepository({ name: 'vendor', uri, suites: ['stable'], architectures: ['amd64'], key: armored });

  beforeAll(async () => {
    const made = await host.sh(`${make}\n${sign('1 hour ago')}`);
    expect(made.stderr).toBe('');
    key = `${await says(host, 'cat /root/vendor.asc')}\n`;
    stranger = `${await says(host, 'cat /root/stranger.asc')}\n`;
  });

  test('converges in four phases, and its packages can be installed', async () => {
    await fourPhases(host, [vendor(key)]);
    await converges(host, [vendor(key), aptPackage({ name: 'vendor-demo' })]);
    expect(await says(host, 'apt-cache policy vendor-demo | grep -o "file:/srv/vendor stable/main"')).toBe(
      'file:/srv/vendor stable/main',
    );
    expect(await says(host, 'stat -c %a /etc/apt/sources.list.d/vendor.sources /etc/apt/keyrings/vendor.asc')).toBe(
      '644\n644',
    );
  });

  test('converges again when its lists are gone', async () => {
    await host.sh('rm -f /var/lib/apt/lists/*vendor*');
    await fourPhases(host, [vendor(key), aptPackage({ name: 'vendor-demo' })]);
  });

  test('goes without a trace', async () => {
    expect((await host.up([])).error?.message).toBeUndefined();
    expect(await says(host, 'find /etc/apt /var/lib/apt/lists -name "*vendor*"')).toBe('');
    expect(await says(host, 'apt-get -qq update && echo fine')).toBe('fine');
  });

  test.each([
    ['signed by somebody else', () => vendor(stranger), 'true', 'repository-untrusted'],
    ['that does not answer', () => vendor(key, 'http://127.0.0.1:9/debian'), 'true', 'mirror-unreachable'],
    ['signed in the future, as a host whose clock is off sees it', () => vendor(key), sign('3 hours'), 'clock-off'],
  ])('one %s is refused, and nothing changes', async (_, declared, before, code) => {
    expect((await host.sh(before)).stderr).toBe('');
    const { error } = await host.up([declared()]);
    expect(error).toMatchObject({ code, resource: 'apt-repository:vendor' });
    expect(await says(host, 'find /etc/apt -name "*vendor*"')).toBe('');
    await host.up([]);
  });
});
