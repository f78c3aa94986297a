import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { EXIT } from '#core/error-codes';
import { ensureImages } from '#sandbox/images/images';
import { AUTHORITIES, KEY_FILE } from '#sandbox/places';
import {
  down,
  internet,
  list,
  publishAuthorities,
  publishHostKeys,
  run,
  type SandboxHost,
  setRecord,
  up,
  type Variety,
} from '#sandbox/sandbox';
import { type CliRun, deploy } from '#test/support/cli';
import { makeProject } from '#test/support/project';
import { deployInTerminal } from '#test/support/terminal';

const home = mkdtempSync(join(tmpdir(), 'slipway-home-'));
/** Nothing of whoever runs the tests: no keys, no agent, no known hosts. */
const ENV = { HOME: home, XDG_STATE_HOME: home, SSH_AUTH_SOCK: '' };
const project = makeProject();
const known = join(project.folder, 'inventory', 'known_hosts');

/** The environment in which a process sees another time, from faketime(1). */
function clock(shift: string): Record<string, string> {
  const lines = execFileSync('faketime', ['-f', shift, 'env'], { encoding: 'utf8' }).split('\n');
  const shifted = lines.filter((line) => /^(?:LD_PRELOAD|FAKETIME\w*)=/.test(line)).map((line) => line.split('=', 2));
  return { ...Object.fromEntries(shifted), DONT_FAKE_MONOTONIC: '1' };
}

const deployHere = (argv: readonly string[], env: Record<string, string> = {}) =>
  deploy([...argv, '--project', project.folder], { env: { ...ENV, ...env } });

function writeInventory(name: string, text: string): void {
  writeFileSync(join(project.folder, 'inventory', `${name}.yaml`), text);
}

/** An inventory of one host and nothing else. */
function bare(name: string, host: Record<string, unknown>, more: Record<string, unknown> = {}): void {
  project.write(name, { app: 'bad', hosts: { vps: { identityFile: KEY_FILE, ...host } }, ...more });
}

function expectRefusal(ended: CliRun, code: number, ...lines: readonly string[]): void {
  for (const line of lines) expect(ended.stderr).toContain(line);
  expect(ended.stderr).toMatch(/^ {2}→ \S/m);
  expect(ended.code).toBe(code);
}

async function freshHost(name: string, varieties: readonly Variety[] = []): Promise<SandboxHost> {
  await dismiss(name);
  const host = await up({ name, varieties, aptCache: true });
  await publishHostKeys();
  return host;
}

async function dismiss(name: string): Promise<void> {
  if ((await list()).some((host) => host.name === name)) await down([name]);
}

async function inside(name: string, script: string): Promise<string> {
  const { stdout, stderr, exitCode } = await run(name, ['sh', '-c', script], { timeout: 300 });
  if (exitCode !== 0) throw new Error(`${script}\n${stderr}`);
  return stdout.trim();
}

/** What a person would miss if it changed: packages, configuration, users, listening ports, running services. */
const shape = (name: string) =>
  inside(
    name,
    `dpkg-query -W -f '\${Package} \${db:Status-Status}\\n'
find /etc -xdev -type f ! -name '*.lock' -exec sha256sum {} + | sort -k2
getent passwd; getent group; ss -Hltn
systemctl list-units --type=service --state=running --plain --no-legend | cut -d' ' -f1 | grep -v '^user'`,
  );

afterAll(() => {
  rmSync(home, { recursive: true, force: true });
  rmSync(project.folder, { recursive: true, force: true });
});

describe('an inventory that cannot be carried out', () => {
  const HOST = 'hosts:\n  vps: { address: 192.0.2.1 }\n';
  // Behind everything else, so that no line moves; nothing depends on whose keys are on this machine.
  const KEYS =
    'ssh: { authorizedKeys: [ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExampleExampleExampleExampleExampleExample01] }\n';
  const SERVICE = 'services:\n  web: { image: nginx:1 }\n';

  test.each([
    [
      'an unknown key',
      `app: bad\n${HOST}servcies: {}\n`,
      'inventory/wrong.yaml:4:1  servcies  unknown key; did you mean "services"?',
    ],
    [
      'a wrong type',
      `app: bad\n${HOST.replace(' }', ', port: "22" }')}`,
      'hosts.vps.port  expected a number, got text',
    ],
    [
      'a host declared twice',
      `app: bad\n${HOST}  vps: { address: 192.0.2.2 }\n`,
      'inventory/wrong.yaml:4:3  hosts.vps  is declared twice; the first is on line 3',
    ],
    [
      'two routes for one domain',
      `app: bad\n${HOST}${SERVICE}routes:\n  shop.example.com: web:80\n  Shop.example.com: web:80\n`,
      'routes["Shop.example.com"]  is the same domain as "shop.example.com"; a domain has one route',
    ],
    [
      'a service without image',
      `app: bad\n${HOST}services:\n  web: { command: serve }\n`,
      'services.web.image  is missing: the image to run, with its tag or digest.',
    ],
    [
      'a missing secret',
      `app: bad\n${HOST}services:\n  web: { image: nginx:1, environment: { TOKEN: "\${TOKEN}" } }\n`,
      'services.web.environment.TOKEN  needs ${TOKEN}, which is not set; there is no .env.wrong',
    ],
  ])('%s: the file, the line and the key are named', async (_, inventory, line) => {
    writeInventory('wrong', `${inventory}${KEYS}`);
    expectRefusal(await deployHere(['up', 'wrong']), EXIT.usage, 'inventory/wrong.yaml has 1 problem', line);
  });
});

describe('the way to a host', () => {
  const NAME = 'bad-way';
  const PORT = 2222;
  let host: SandboxHost;

  /** Another sshd on the host, with a key that nobody has pinned; a second call gives it another one. */
  async function strange(): Promise<string> {
    await inside(
      NAME,
      `test ! -f /run/strange.pid || kill $(cat /run/strange.pid); rm -f /root/strange*
ssh-keygen -q -t ed25519 -N '' -f /root/strange; mkdir -p /run/sshd
until /usr/sbin/sshd -p ${PORT} -h /root/strange -o PidFile=/run/strange.pid 2>&1; do sleep 0.2; done`,
    );
    return (await inside(NAME, 'ssh-keygen -lf /root/strange.pub')).split(' ')[1] ?? '';
  }

  beforeAll(async () => {
    host = await freshHost(NAME);
  });
  afterAll(() => dismiss(NAME));

  test('a key file that is not there, or that others may read', async () => {
    bare('key', { address: host.address, identityFile: 'id_bad' });
    expectRefusal(
      await deployHere(['up', 'key']),
      EXIT.usage,
      'hosts.vps.identityFile  cannot read the key "id_bad": there is no such file',
    );
    const key = join(project.folder, 'id_bad');
    copyFileSync(KEY_FILE, key);
    copyFileSync(`${KEY_FILE}.pub`, `${key}.pub`);
    chmodSync(key, 0o644);
    expectRefusal(
      await deployHere(['up', 'key']),
      EXIT.failed,
      `${key} can be read by others (mode 0644)`,
      `chmod 600 ${key}`,
    );
    chmodSync(key, 0o600);
    expect((await deployHere(['plan', 'key'])).code).toBe(EXIT.done);
  });

  test('a host that is met for the first time, and one whose key has changed', async () => {
    const first = await strange();
    bare('strange', { address: host.address, port: PORT });
    expectRefusal(
      await deployHere(['up', 'strange']),
      EXIT.failed,
      `vps (${host.address}:${PORT}) is not known yet. It presents`,
      first,
      'deploy trust strange',
    );
    expectRefusal(await deployHere(['trust', 'strange']), EXIT.failed, `--fingerprint ${first}`);
    expectRefusal(
      await deployHere(['trust', 'strange', '--fingerprint', 'SHA256:AAAA']),
      EXIT.failed,
      'This is not the key with the fingerprint SHA256:AAAA',
    );
    expect((await deployHere(['trust', 'strange', '--fingerprint', first])).code).toBe(EXIT.done);
    expect((await deployHere(['plan', 'strange'])).code).toBe(EXIT.done);

    const second = await strange();
    expectRefusal(
      await deployHere(['up', 'strange']),
      EXIT.failed,
      `pinned:   ssh-ed25519 ${first} (${known}:1)`,
      `presents: ssh-ed25519 ${second}`,
      `remove line 1 of ${known}, then run \`deploy trust strange\``,
    );
    expectRefusal(await deployHere(['trust', 'strange', '--fingerprint', second]), EXIT.failed, first);
    rmSync(known);
    expect((await deployHere(['trust', 'strange', '--fingerprint', second])).code).toBe(EXIT.done);
    expect((await deployHere(['plan', 'strange'])).code).toBe(EXIT.done);
    expect(readFileSync(known, 'utf8')).not.toContain(first);
  });

  test('nobody at the address, nothing on the port, no such name', async () => {
    bare('gone', { address: host.address.replace(/\d+$/, '250') });
    expectRefusal(await deployHere(['up', 'gone']), EXIT.unreachable, 'cannot be reached', 'host-unreachable');
    bare('gone', { address: host.address, port: 2299 });
    expectRefusal(await deployHere(['up', 'gone']), EXIT.unreachable, 'nothing listens on the port');
    bare('gone', { address: 'nobody.sandbox.test' });
    expectRefusal(await deployHere(['up', 'gone']), EXIT.unreachable, 'has a name that DNS does not know');
  });
});

describe('the first login', () => {
  const NAME = 'bad-login';
  afterEach(() => dismiss(NAME));

  /** In a terminal, with this typed when the password is asked for. */
  const withPassword = (password: string) =>
    deployInTerminal(
      ['up', 'password', '--ask-password', '--project', project.folder],
      [{ when: 'Password of root@', type: password }],
      ENV,
    );

  test('a wrong password, several times; then the right one', async () => {
    const host = await freshHost(NAME, ['root-password']);
    bare('password', { address: host.address });
    expectRefusal(
      await deployHere(['up', 'password']),
      EXIT.failed,
      `root@${host.address} was refused: offered: ${KEY_FILE}`,
      'run the same command with --ask-password',
    );
    expectRefusal(
      await deployHere(['up', 'password', '--ask-password']),
      EXIT.usage,
      'Nobody is at a terminal to be asked for a password.',
    );
    const before = await shape(NAME);
    // More than fail2ban lets pass: it finds them in the journal as soon as it is installed.
    let wrong = await withPassword('no-such-password');
    expect(wrong.screen).toMatch(/root@\S+ was refused: offered: .*a password; the host takes publickey, password/);
    expect(wrong.screen).toContain('Check the user name and the password');
    expect(wrong.screen).not.toContain('no-such-password');
    expect(wrong.code).toBe(EXIT.failed);
    // sshd keeps who fails too often out for a while (PerSourcePenalties).
    while (wrong.code === EXIT.failed) wrong = await withPassword('no-such-password');
    expect(wrong.screen).toContain('takes the connection and closes it before the SSH handshake is done');
    expect(wrong.screen).toContain('wait a minute and try again');
    expect(wrong.code).toBe(EXIT.unreachable);
    expect(await shape(NAME)).toBe(before);

    let right = wrong;
    while (right.code === EXIT.unreachable) {
      await sleep(5000);
      right = await withPassword(host.password ?? '');
    }
    expect(right.screen).toContain('guard disarmed: a fresh login with sudo was proven');
    expect(right.screen).not.toContain(host.password);
    expect(right.code).toBe(EXIT.done);
    expect(await inside(NAME, 'fail2ban-client get sshd banip')).toBe('');
    const again = await deployHere(['up', 'password']);
    expect(again.stderr).toContain('no change');
    expect(again.code).toBe(EXIT.done);
  });

  test('a user without sudo, or whose sudo asks for a password', async () => {
    const host = await freshHost(NAME, ['debian-user', 'no-sudo']);
    bare('sudo', { address: host.address, user: 'debian' });
    const before = await shape(NAME);
    expectRefusal(
      await deployHere(['up', 'sudo']),
      EXIT.failed,
      'vps: debian cannot become root on vps: there is no sudo on the host.',
      'Connect as root for the first time (`user: root` in the inventory), or install sudo on the host.',
    );
    expect(await shape(NAME)).toBe(before);
    await inside(
      NAME,
      'apt-get -qq update && apt-get -qq install sudo >/dev/null 2>&1; mv /etc/sudoers.d/90-provider /root; usermod -aG sudo debian',
    );
    expectRefusal(
      await deployHere(['up', 'sudo']),
      EXIT.failed,
      'debian cannot become root on vps: sudo: a password is required.',
      'Give debian passwordless sudo on the host',
    );
    await inside(NAME, 'mv /root/90-provider /etc/sudoers.d/');
    expect((await deployHere(['plan', 'sudo'])).code).toBe(EXIT.done);
  });
});

describe('a disk that is nearly full', () => {
  const NAME = 'bad-disk';
  const BALLAST = '/var/log/ballast';
  afterAll(() => dismiss(NAME));

  test('it is seen before anything is brought, and before anything is changed', async () => {
    const host = await freshHost(NAME, ['disk-nearly-full']);
    bare('disk', { address: host.address });
    const before = await shape(NAME);
    const free = () => inside(NAME, 'df -Pm / | tail -n 1');
    const room = await free();
    expectRefusal(
      await deployHere(['up', 'disk']),
      EXIT.failed,
      'MB are free below /opt on the host.',
      'Free at least 200 MB for the runner',
    );
    expect(await free()).toBe(room);

    await inside(NAME, `truncate -s -500M ${BALLAST}`);
    expectRefusal(
      await deployHere(['up', 'disk']),
      EXIT.failed,
      'MB are free below /var on the host.',
      'Free at least 1.0 GB',
    );
    expect(await shape(NAME)).toBe(before);

    await inside(NAME, `rm ${BALLAST}`);
    expect((await deployHere(['plan', 'disk'])).code).toBe(EXIT.done);
  });
});

describe('a host that is not as it should be', () => {
  const NAME = 'bad-host';
  const DOMAIN = 'bad.sandbox.test';
  const CRON = '/etc/cron.d/backup';
  let host: SandboxHost;

  /** The demo app, which needs no database; `more` may change anything. */
  function shop(more: Record<string, unknown> = {}, image = 'demo:v1'): void {
    project.write('shop', {
      app: 'bad',
      hosts: { vps: { address: host.address, identityFile: KEY_FILE } },
      services: {
        web: {
          image: `registry.sandbox.test/${image}`,
          healthcheck: { path: '/up' },
          environment: { DATABASE_URL: 'none', REDIS_URL: 'none' },
        },
      },
      routes: { [DOMAIN]: 'web:3000' },
      release: { healthTimeout: '8s' },
      certificates: { directory: 'https://acme.sandbox.test:14000/dir', ca: AUTHORITIES },
      ...more,
    });
  }

  const served = () =>
    inside(NAME, `curl -sk --max-time 5 --resolve ${DOMAIN}:443:127.0.0.1 https://${DOMAIN}/version || echo nothing`);

  beforeAll(async () => {
    const there = await internet();
    await ensureImages({
      registry: there.registry,
      address: there.address,
      ca: readFileSync(there.caFile, 'utf8'),
      names: ['demo:v1', 'demo:v2', 'demo:crash', 'demo:unhealthy'],
    });
    await publishAuthorities();
    host = await freshHost(NAME, ['apt-locked']);
    await setRecord(DOMAIN, { a: [host.address], aaaa: [host.address6] });
    // What somebody had set up before Slipway came.
    await inside(
      NAME,
      `systemctl stop hold-apt; apt-get -qq update; apt-get -qq install ufw curl >/dev/null 2>&1
ufw allow 5353/udp comment mdns; mkdir -p /etc/cron.d; echo '0 3 * * * root /root/backup' > ${CRON}`,
    );
    shop();
  });
  afterAll(() => dismiss(NAME));

  test('an operating system that is not supported', async () => {
    await inside(
      NAME,
      'cp /etc/os-release /root/; sed -i "s/^ID=.*/ID=alpine/; s/^PRETTY_NAME=.*/PRETTY_NAME=Alpine/" /etc/os-release',
    );
    const before = await shape(NAME);
    expectRefusal(
      await deployHere(['up', 'shop']),
      EXIT.failed,
      'Alpine is not supported.',
      'Use Debian 12 or 13, or Ubuntu 22.04 or 24.04.',
    );
    expect(await shape(NAME)).toBe(before);
    await inside(NAME, 'cat /root/os-release > /etc/os-release');
    expect((await deployHere(['plan', 'shop'])).code).toBe(EXIT.done);
  });

  test.each([
    ['+1h', 'behind'],
    ['-1h', 'ahead'],
  ])('clocks that are an hour apart (%s here)', async (shift, direction) => {
    const before = await shape(NAME);
    expectRefusal(
      await deployHere(['up', 'shop'], clock(shift)),
      EXIT.failed,
      `The host's clock is 60 min 0 s ${direction} of this machine's.`,
      'timedatectl set-ntp true',
    );
    expect(await shape(NAME)).toBe(before);
  });

  test('port 80 is taken', async () => {
    await inside(
      NAME,
      `systemd-run --quiet --unit=other-web perl -MIO::Socket::INET -e 'my $s = IO::Socket::INET->new(LocalPort => 80, Listen => 5) or die; sleep'
for try in 1 2 3 4 5 6 7 8 9 10; do ss -Hltn | grep -q ':80 ' && exit; sleep 0.3; done; exit 1`,
    );
    const before = await shape(NAME);
    expectRefusal(
      await deployHere(['up', 'shop']),
      EXIT.failed,
      'Port 80 is taken by perl on the host.',
      'nginx needs ports 80 and 443.',
    );
    expect(await shape(NAME)).toBe(before);
    await inside(NAME, 'systemctl stop other-web');
    expect((await deployHere(['plan', 'shop'])).code).toBe(EXIT.done);
  });

  test('a mirror that is down', async () => {
    await inside(
      NAME,
      `mkdir /root/apt; mv /var/lib/apt/lists /root/apt/; cp -a /etc/apt/sources.list* /root/apt/
rm -rf /etc/apt/sources.list*; echo 'deb http://127.0.0.1:9/debian trixie main' > /etc/apt/sources.list`,
    );
    const packages = () => inside(NAME, 'dpkg-query -W');
    const before = await packages();
    expectRefusal(
      await deployHere(['up', 'shop']),
      EXIT.failed,
      'Reading the lists of packages failed',
      'http://127.0.0.1:9/debian',
      "Check the host's way out",
      'mirror-unreachable',
    );
    expect(await packages()).toBe(before);
    await inside(
      NAME,
      'rm -rf /etc/apt/sources.list /var/lib/apt/lists; mv /root/apt/sources.list* /etc/apt/; mv /root/apt/lists /var/lib/apt/',
    );
  });

  test('apt locked by another program: gives up at the deadline of the inventory', async () => {
    await inside(NAME, 'systemctl restart hold-apt');
    shop({ packages: { wait: '3s' } });
    expectRefusal(
      await deployHere(['up', 'shop']),
      EXIT.locked,
      'waiting for perl (pid ',
      'which holds the package system; for at most ',
      'still holds /var/lib/dpkg/lock-frontend after 3.0 s.',
      '(`ps -fp ',
    );
  });

  test('apt locked by another program: waits, says so, and goes on; then an authority that is down', async () => {
    await inside(NAME, 'systemctl restart hold-apt');
    shop({ certificates: { directory: 'https://acme.sandbox.test:14999/dir', ca: AUTHORITIES } });
    const ended = await deployHere(['up', 'shop']);
    expectRefusal(
      ended,
      EXIT.failed,
      'waiting for perl (pid ',
      'install nginx',
      'release v1',
      `No certificate for ${DOMAIN} from acme.sandbox.test:14999`,
      'certificate-authority',
    );
    expect(
      await inside(
        NAME,
        `docker exec bad-blue-web-1 node -e 'fetch("http://127.0.0.1:3000/version").then((r) => r.text()).then(console.log)'`,
      ),
    ).toBe('v1');
    shop();
    const mended = await deployHere(['up', 'shop']);
    expect(mended.stderr).toContain(`https://${DOMAIN}/ answers 200`);
    expect(mended.code).toBe(EXIT.done);
    expect(await served()).toBe('v1');
    expect((await deployHere(['up', 'shop'])).stderr).toContain('no change');
  });

  test.each([
    ['demo:crash', EXIT.rejected, ['crashed right after its start', 'Last words of', 'Traffic was not touched.']],
    [
      'demo:unhealthy',
      EXIT.rejected,
      [
        'The new release is not healthy after 8 s: web at port 3000, /up answers 500: DEMO_MODE is unhealthy',
        'Traffic was not touched.',
      ],
    ],
    ['demo:nowhere', EXIT.failed, ['registry.sandbox.test/demo:nowhere', 'Check its name and tag', 'image-not-found']],
  ] as const)('a release of %s: the old version keeps serving', async (image, code, lines) => {
    shop({}, image);
    const answers: string[] = [];
    let over = false;
    const watching = (async () => {
      while (!over) answers.push(await served());
    })();
    const ended = await deployHere(['up', 'shop']);
    over = true;
    await watching;
    expectRefusal(ended, code, ...lines);
    expect(new Set(answers)).toEqual(new Set(['v1']));
    shop();
    expect((await deployHere(['up', 'shop'])).code).toBe(EXIT.done);
    expect(await served()).toBe('v1');
  });

  test('a good release goes live after all of that', async () => {
    shop({}, 'demo:v2');
    expect((await deployHere(['up', 'shop'])).code).toBe(EXIT.done);
    expect(await served()).toBe('v2');
  });

  test('what was there before is left alone, also when everything of ours is gone', async () => {
    const untouched = async () => {
      expect(await inside(NAME, 'ufw show added')).toContain('ufw allow 5353/udp');
      expect(await inside(NAME, `cat ${CRON}`)).toBe('0 3 * * * root /root/backup');
    };
    await untouched();
    // Nothing is declared any more; whoever does that proves that root can still log in.
    const request = {
      verb: 'up',
      app: 'bad',
      environment: 'shop',
      by: 'tests',
      resources: [],
      secrets: [],
      loginUser: 'root',
    };
    await inside(
      NAME,
      `cat > /root/request <<'END'
${JSON.stringify(request)}
END
runner=/opt/slipway/current/slipway-host
(while sleep 0.5; do for guard in /var/lib/slipway/guards/*; do $runner prove "$(basename "$guard")" 4; done; done) & proving=$!
mkfifo /root/laptop; sleep 600 > /root/laptop & laptop=$!
(cat /root/request; echo '{"ways":[{"family":4,"address":"127.0.0.1"}],"broken":[]}') > /root/laptop &
$runner session < /root/laptop > /root/events; code=$?; kill $proving $laptop; tail -n 1 /root/events >&2; exit $code`,
    );
    expect(await inside(NAME, 'cat /var/lib/slipway/ownership/*.json 2>/dev/null || true')).not.toContain('"kind"');
    expect(await inside(NAME, `dpkg-query -W -f '\${Package} ' ufw curl`)).toBe('curl ufw');
    await untouched();
  });
});
