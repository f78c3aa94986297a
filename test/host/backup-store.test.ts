import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { BackupSettings } from '#protocol/backup';
import { down, internet, run, type SandboxHost, up } from '#sandbox/sandbox';
import { type BucketServer, startBucket } from '#test/support/bucket';
import { deploy } from '#test/support/cli';
import { type OnHost, onHost } from '#test/support/converge';
import { type FaultyFront, faultyFront } from '#test/support/faulty-front';
import { makeProject, type Project } from '#test/support/project';
import { ask } from '#test/support/release';
import type { Order, Outcome } from '#test/support/store-main';
import { askStores, bringStores } from '#test/support/stores';
import { deployInTerminal } from '#test/support/terminal';

const APP = 'store-app';
const VAULT = 'store-vault';
const KEY = '/etc/slipway/backups/shop.key';
const SECRETS = { user: 'keeper', password: 'sesame-42-sesame' };

type Kind = 'sftp' | 's3' | 'rest';

let app: SandboxHost;
let vault: SandboxHost;
let host: OnHost;
let bucket: BucketServer;
let s3: FaultyFront;
let rest: FaultyFront;
let authority: string;
const project: Project = makeProject();

async function on(name: string, script: string): Promise<string> {
  const { stdout, stderr, exitCode } = await run(name, ['sh', '-c', script], { timeout: 300 });
  expect(exitCode, `${script}\n${stdout}${stderr}`).toBe(0);
  return stdout.trimEnd();
}

function offsite(kind: Kind, folder: string): BackupSettings['repositories'][number] {
  switch (kind) {
    case 'sftp':
      return { name: 'offsite', url: `sftp://keeper@${vault.address}:22//backups/${folder}`, credentials: {} };
    case 's3':
      return {
        ...{ name: 'offsite', url: `s3:${s3.url}/${bucket.bucket}/${folder}`, ca: authority },
        credentials: { ...bucket.credentials },
      };
    case 'rest':
      return {
        ...{ name: 'offsite', url: `rest:${rest.url}/${folder}`, ca: authority },
        credentials: { RESTIC_REST_USERNAME: SECRETS.user, RESTIC_REST_PASSWORD: SECRETS.password },
      };
  }
}

function settings(
  kind: Kind,
  folder: string,
  changes: Partial<BackupSettings['repositories'][number]> = {},
): BackupSettings {
  return {
    ...{ app: 'shop', environment: 'prod', host: 'vps', sources: [], keep: 86_400, atLeast: 1, drill: { assert: {} } },
    repositories: [
      { name: 'local', url: `/srv/local/${folder}`, credentials: {} },
      { ...offsite(kind, folder), ...changes },
    ],
  };
}

/** Asks the offsite store of these settings for one thing. */
async function tell(
  of: BackupSettings,
  act: Order['act'],
  args: readonly unknown[] = [],
  store: Order['store'] = 'offsite',
): Promise<Outcome> {
  return askStores(APP, { settings: of, store, act, args });
}

async function well(...asked: Parameters<typeof tell>): Promise<unknown> {
  const { value, error } = await tell(...asked);
  expect(error?.message).toBeUndefined();
  return value;
}

async function fails(...asked: Parameters<typeof tell>): Promise<NonNullable<Outcome['error']>> {
  const { error } = await tell(...asked);
  if (error === undefined) throw new Error(`${asked[1]} went well`);
  return error;
}

/** Makes a folder with objects of these sizes on the host; resolves with its path. */
async function objects(folder: string, sizes: Readonly<Record<string, number>>): Promise<string> {
  const path = `/root/spool/${folder}`;
  const made = Object.entries(sizes).map(([name, size]) => `head -c ${size} /dev/urandom > ${path}/${name}`);
  await on(APP, [`rm -rf ${path}; mkdir -p ${path}; cd ${path}; echo draft > .draft`, ...made].join('\n'));
  return path;
}

const A = '000000010000000000000001.0123456789abcdef.zst.age';
const B = '000000010000000000000002.fedcba9876543210.zst.age';

beforeAll(async () => {
  await Promise.all([APP, VAULT].map((name) => down([name]).catch(() => undefined)));
  const there = await internet();
  authority = readFileSync(there.caFile, 'utf8');
  [app, vault, bucket] = await Promise.all([
    up({ name: APP, aptCache: true, equipped: true }),
    up({ name: VAULT, aptCache: true, equipped: true }),
    startBucket(),
  ]);
  host = await onHost(app);
  await host.plan([]);
  await bringStores(APP);
  const get =
    'export DEBIAN_FRONTEND=noninteractive; apt-get update -qq && apt-get install -y -qq --no-install-recommends';
  await Promise.all([
    on(APP, 'mkdir -p -m 0700 /etc/slipway/backups'),
    on(
      VAULT,
      `${get} apache2-utils >/dev/null
useradd -M -d /nonexistent -s /usr/sbin/nologin keeper
mkdir -p /srv/vault/backups /srv/rest && chown keeper: /srv/vault/backups && touch /etc/ssh/keeper_keys
cat > /etc/ssh/sshd_config.d/10-vault.conf <<'END'
Match User keeper
  ChrootDirectory /srv/vault
  ForceCommand internal-sftp
  AuthorizedKeysFile /etc/ssh/keeper_keys
  PasswordAuthentication no
  AllowTcpForwarding no
  X11Forwarding no
  PermitTTY no
END
systemctl restart ssh
htpasswd -bBc /srv/htpasswd ${SECRETS.user} ${SECRETS.password} 2>/dev/null
systemd-run --quiet --unit=rest rclone serve restic --append-only --htpasswd /srv/htpasswd --addr :8000 /srv/rest`,
    ),
  ]);
  s3 = await faultyFront('store-s3.sandbox.test', { host: '127.0.0.1', port: bucket.port });
  rest = await faultyFront('store-rest.sandbox.test', { host: vault.address, port: 8000 });
});

afterAll(async () => {
  await host?.[Symbol.asyncDispose]();
  await Promise.all([s3, rest, bucket].map((one) => one?.[Symbol.asyncDispose]()));
  await down([APP, VAULT]);
});

test('a server that does not know the host yet: the error has the key to authorise, and no key of backups is made', async () => {
  const refused = await fails(settings('sftp', 'first'), 'prepare');
  const publicKey = await on(APP, 'cat /etc/slipway/backups/shop.offsite.identity.pub');
  expect(refused.code).toBe('repository-failed');
  expect(refused.hint).toContain(publicKey);
  await on(APP, `! test -e ${KEY} && ! test -e ${KEY}.draft`);
  await on(VAULT, `echo '${publicKey}' > /etc/ssh/keeper_keys`);
});

test('the first key that a server shows is trusted with a warning, another one later is not', async () => {
  await on(APP, 'rm -f /etc/slipway/backups/shop.offsite.pinned-host');
  const { warnings, error } = await tell(settings('sftp', 'first'), 'prepare');
  expect(error).toBeUndefined();
  expect(warnings.join('\n')).toMatch(/was not known.*\n.*"ssh-\S+ AAAA/);
  expect(warnings.join('\n')).toMatch(/on this host alone.*\n.*deploy backup key show prod/);
  expect((await tell(settings('sftp', 'first'), 'look')).warnings).toEqual([]);
  const other = await on(
    APP,
    'rm -f /root/other*; ssh-keygen -q -t ed25519 -N "" -f /root/other; cut -d" " -f1,2 /root/other.pub',
  );
  const refused = await fails(settings('sftp', 'first', { hostKey: other }), 'look');
  expect(refused.hint).toContain('backups.hostKey');
  const spool = await objects('pinned', { [A]: 10 });
  expect((await fails(settings('sftp', 'first', { hostKey: other }), 'put', [spool, 'pinned'])).hint).toContain(
    'another key',
  );
  const right = await on(VAULT, 'cut -d" " -f1,2 /etc/ssh/ssh_host_ed25519_key.pub');
  expect(await well(settings('sftp', 'first', { hostKey: right }), 'look')).toBe('ours');
});

describe.each(['sftp', 's3', 'rest'] as const)('over %s', (kind) => {
  const of = () => settings(kind, `all-${kind}`);

  test('repositories are made once; the same snapshot in both is stored once, cut alike', async () => {
    await well(of(), 'prepare');
    await well(of(), 'prepare');
    await on(APP, 'mkdir -p /root/data && head -c 3000000 /dev/urandom > /root/data/file');
    await well(of(), 'restic', [['backup', '/root/data', '--tag', 'kind=copy', '--tag', 'source=files']], 'local');
    const [snapshot] = (await well(of(), 'snapshots', [['source=files']], 'local')) as { id: string }[];
    await well(of(), 'copyFrom', [[snapshot?.id]]);
    const ours = (await well(of(), 'restic', [['backup', '/root/data', '--json', '--quiet']])) as { stdout: string };
    expect(JSON.parse(ours.stdout).data_added).toBeLessThan(300_000);
    expect(await well(of(), 'snapshots', [['source=files', 'kind=copy']])).toHaveLength(1);
    expect(await well(of(), 'snapshots', [['source=none']])).toEqual([]);
  });

  test('objects come back as they were put, and only those that are asked for', async () => {
    const spool = await objects(kind, { [A]: 400_000, [B]: 3 });
    expect(await well(of(), 'list', ['wal'])).toEqual([]);
    await well(of(), 'put', [spool, 'wal/main/7/g']);
    await well(of(), 'put', [spool, 'wal/main/7/g']);
    expect(await well(of(), 'list', ['wal'])).toEqual([
      { name: `wal/main/7/g/${A}`, size: 400_000 },
      { name: `wal/main/7/g/${B}`, size: 3 },
    ]);
    await well(of(), 'fetch', [[`wal/main/7/g/${A}`], `/root/back/${kind}`]);
    await on(APP, `cmp /root/back/${kind}/${A} ${spool}/${A} && ! test -e /root/back/${kind}/${B}`);
    const absent = await fails(of(), 'fetch', [[`wal/main/7/g/${A}.none`], `/root/back/${kind}`]);
    expect(absent).toMatchObject({ code: 'copy-broken', message: expect.stringContaining(`${A}.none`) });
  });

  test('what is removed is gone, or it is said plainly that nothing may be removed', async () => {
    const refused = await well(of(), 'remove', [[`wal/main/7/g/${A}`, `wal/main/7/g/${B}`]]);
    if (kind === 'rest') {
      expect(refused).toMatch(/^This host may not delete in the offsite repository .*403/);
      expect(await well(of(), 'list', ['wal'])).toHaveLength(2);
    } else {
      expect(refused).toBeUndefined();
      expect(await well(of(), 'list', ['wal'])).toEqual([]);
    }
  });
});

test('an object is not written over, and what is short of it is said', async () => {
  for (const store of ['local', 'offsite'] as const) {
    const of = settings('sftp', 'first');
    const first = await objects('first', { [A]: 1000 });
    await well(of, 'put', [first, 'once'], store);
    const short = await objects('second', { [A]: 999 });
    const clash = await fails(of, 'put', [short, 'once'], store);
    expect(clash).toMatchObject({ code: 'copy-broken', message: expect.stringMatching(/1000 bytes, not 999/) });
    expect(await well(of, 'list', ['once'], store)).toEqual([{ name: `once/${A}`, size: 1000 }]);
  }
});

describe('bad days of a server', () => {
  test.each([
    ['s3', 500, /answers 500/],
    ['s3', 403, /403|Denied/],
    ['s3', 'silent', /no answer/],
    ['rest', 500, /answers 500/],
    ['rest', 403, /403/],
    ['rest', 'silent', /no answer/],
  ] as const)('%s that answers %s: told at once, and caught up with afterwards', async (kind, mood, said) => {
    const of = settings(kind, `all-${kind}`);
    const front = kind === 's3' ? s3 : rest;
    const prefix = `bad/${mood}`;
    const spool = await objects(`${kind}-${mood}`, { [A]: 5000, [B]: 5000 });
    front.mood = () => mood;
    const put = await fails(of, 'put', [spool, prefix]);
    const look = mood === 'silent' ? put : await fails(of, 'look');
    front.mood = () => 'well';
    expect(put).toMatchObject({ code: 'repository-failed', message: expect.stringMatching(said) });
    expect(look).toMatchObject({ code: 'repository-failed', message: expect.stringMatching(said) });
    expect(`${put.message}${look.message}`).not.toContain(SECRETS.password);
    await well(of, 'put', [spool, prefix]);
    expect(await well(of, 'list', [prefix])).toHaveLength(2);
  });

  test('a bucket whose server breaks after the first object: the rest is sent later, nothing twice', async () => {
    const of = settings('s3', 'all-s3');
    const spool = await objects('half', { [A]: 5000, [B]: 5000 });
    s3.mood = (asked) => (asked.startsWith('PUT') && asked.includes(B) ? 500 : 'well');
    expect((await fails(of, 'put', [spool, 'half'])).message).toMatch(/500/);
    s3.mood = () => 'well';
    expect(await well(of, 'list', ['half'])).toEqual([{ name: `half/${A}`, size: 5000 }]);
    const before = s3.requests.length;
    await well(of, 'put', [spool, 'half']);
    expect(s3.requests.slice(before).filter((asked) => asked.startsWith('PUT'))).toHaveLength(1);
    expect(await well(of, 'list', ['half'])).toHaveLength(2);
  });

  test('https of an authority that is not the declared one', async () => {
    const other = await on(
      APP,
      'openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=other -keyout /dev/null 2>/dev/null',
    );
    for (const kind of ['s3', 'rest'] as const) {
      const refused = await fails(settings(kind, `all-${kind}`, { ca: other }), 'put', [
        await objects('ca', { [A]: 10 }),
        'ca',
      ]);
      expect(refused).toMatchObject({ hint: expect.stringContaining('backups.ca') });
    }
  });

  test('a user that the server does not let in', async () => {
    const credentials = { RESTIC_REST_USERNAME: SECRETS.user, RESTIC_REST_PASSWORD: 'another-word' };
    const refused = await fails(settings('rest', 'all-rest', { credentials }), 'look');
    expect(refused.hint).toContain('backups.credentials');
    expect(refused.message).not.toContain('another-word');
  });

  test('an SFTP server that is down, full, or hangs in the middle', async () => {
    const of = settings('sftp', 'first');
    const spool = await objects('sftp-bad', { [A]: 3_000_000, [B]: 5000 });
    await on(VAULT, 'systemctl stop ssh');
    const isDown = await fails(of, 'put', [spool, 'bad']);
    await on(VAULT, 'systemctl start ssh');
    expect(isDown).toMatchObject({
      message: expect.stringMatching(/Connection (?:refused|reset)/),
      hint: expect.stringMatching(/is up/),
    });

    await on(
      VAULT,
      'mkdir -p /srv/vault/backups/small && mount -t tmpfs -o size=1m tmpfs /srv/vault/backups/small && chown keeper: /srv/vault/backups/small',
    );
    const small = settings('sftp', 'small');
    const full = await fails(small, 'put', [spool, 'bad']);
    expect(full.code).toBe('repository-failed');
    expect(await on(VAULT, 'find /srv/vault/backups/small -type f')).toBe('');
    await on(VAULT, 'mount -o remount,size=8m /srv/vault/backups/small');
    await well(small, 'put', [spool, 'bad']);
    expect(await well(small, 'list', ['bad'])).toHaveLength(2);
    await on(VAULT, 'umount /srv/vault/backups/small');

    // Frozen as soon as the object begins to be there, then gone.
    const large = await objects('sftp-large', { [A]: 150_000_000 });
    const interrupted = tell(of, 'put', [large, 'hangs']);
    const there = '/srv/vault/backups/first/vps/objects/hangs';
    await on(
      VAULT,
      `for i in $(seq 3000); do [ -s ${there}/.${A}.part ] && break; sleep 0.01; done; pkill -STOP -u keeper`,
    );
    expect(await on(VAULT, `ls -A ${there}`)).toBe(`.${A}.part`);
    await sleep(2000);
    await on(VAULT, 'pkill -KILL -u keeper');
    expect((await interrupted).error?.code).toBe('repository-failed');
    expect(await well(of, 'list', ['hangs'])).toEqual([]);
    await well(of, 'put', [spool, 'hangs']);
    expect(await well(of, 'list', ['hangs'])).toHaveLength(2);
  });
});

test('a lock that a killed restic has left is taken away by the next run, for copies and for clearing up', async () => {
  const of = settings('sftp', 'first');
  for (const exclusive of [false, true]) {
    // A command that restic reads from keeps it, and its lock, as long as it likes.
    const args = exclusive ? 'prune' : 'backup --stdin-from-command --stdin-filename x -- sleep 60';
    const env = `RESTIC_REPOSITORY=/srv/local/first/vps/restic RESTIC_PASSWORD_FILE=${KEY}`;
    await on(
      APP,
      exclusive
        ? `cd /srv/local/first/vps/restic; ${env} restic ${args} >/dev/null 2>&1 & pid=$!; for i in $(seq 200); do [ -n "$(ls locks)" ] && break; sleep 0.02; done; kill -9 $pid; test -n "$(ls locks)"`
        : `cd /srv/local/first/vps/restic; ${env} restic ${args} >/dev/null 2>&1 & pid=$!; for i in $(seq 200); do [ -n "$(ls locks)" ] && break; sleep 0.05; done; kill -9 $pid; pkill -x sleep; test -n "$(ls locks)"`,
    );
    const backup = (await well(of, 'restic', [['backup', '/root/data', '--quiet']], 'local')) as { exitCode: number };
    const prune = (await well(of, 'restic', [['prune']], 'local')) as { exitCode: number };
    expect([backup.exitCode, prune.exitCode]).toEqual([0, 0]);
    expect(await on(APP, `${env} restic list locks --no-lock`)).toBe('');
  }
});

test('no secret is ever an argument of a program', async () => {
  const of = settings('rest', 'all-rest');
  const key = await on(APP, `cat ${KEY}`);
  const spool = await objects('secrets', { [A]: 2_000_000 });
  rest.mood = (asked) => (asked.startsWith('POST') ? { bytesPerSecond: 400_000 } : 'well');
  let ended = false;
  const put = well(of, 'put', [spool, 'secrets']).finally(() => {
    ended = true;
  });
  let seen = '';
  while (!ended) {
    seen += await on(APP, `cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '`);
    await sleep(100);
  }
  await put;
  rest.mood = () => 'well';
  expect(seen).toContain('restic --cleanup-cache');
  for (const secret of [key, SECRETS.password]) expect(seen).not.toContain(secret);
});

test('a key that others can read is closed, and said', async () => {
  await on(APP, `chmod 0644 ${KEY}`);
  const { warnings } = await tell(settings('sftp', 'first'), 'prepare');
  expect(warnings.join()).toContain('could be read by others');
  expect(await on(APP, `stat -c %a ${KEY}`)).toBe('600');
});

describe('the key', () => {
  const of = () => settings('sftp', 'first');
  const declare = () =>
    project.write('prod', {
      app: 'shop',
      hosts: { vps: { address: app.address, identityFile: app.keyFile, user: app.user } },
      services: {},
    });
  const request = (action: 'show' | 'verify' | 'install', rest: { key?: string; again?: boolean } = {}) =>
    ask(host, { verb: 'backup-key', app: 'shop', environment: 'prod', by: 'tests@here', action, ...rest });
  let key: string;

  beforeAll(async () => {
    declare();
    await on(APP, `cat > /etc/slipway/backups/shop.json <<'END'\n${JSON.stringify(of())}\nEND`);
    key = await on(APP, `cat ${KEY}`);
  });

  test('is shown once, by the command line too, and lies in no log of the host', async () => {
    const shown = await deploy(['backup', 'key', 'show', 'prod', '--project', project.folder]);
    expect(shown.code, shown.stderr).toBe(0);
    expect(shown.stdout.trim()).toBe(key);
    expect(shown.stderr).toContain('deploy backup key verify prod');
    const again = await request('show');
    expect(again.error).toMatchObject({ code: 'key-refused', hint: expect.stringContaining('--again') });
    const { events } = await request('show', { again: true });
    expect(events).toContainEqual(expect.objectContaining({ type: 'backup.key', key }));
    const unasked = await deploy(['backup', 'key', 'show', 'prod', '--again', '--project', project.folder]);
    expect(unasked.code).not.toBe(0);
    expect(unasked.stderr).toContain('Nobody is here to confirm');
    const show = ['backup', 'key', 'show', 'prod', '--again', '--project', project.folder];
    const typed = await deployInTerminal(show, [{ when: 'Type prod', type: 'prod' }]);
    expect(typed.screen).toContain(key);
    const mistyped = await deployInTerminal(show, [{ when: 'Type prod', type: 'shop' }]);
    expect(mistyped.code).not.toBe(0);
    expect(mistyped.screen).not.toContain(key);
    await on(APP, `! grep -rlF '${key}' /var/lib/slipway /var/log /run/log 2>/dev/null`);
    expect(await on(APP, 'cat /var/lib/slipway/ledger/shop.ndjson')).toContain('"op":"backup-key"');
  });

  test('a copy is proven by opening every repository and an object with it', async () => {
    const recipient = await on(APP, `age-keygen -y ${KEY}`);
    await on(
      APP,
      `rm -rf /root/sealed; mkdir /root/sealed; cd /root/sealed; echo note | zstd -q | age -r ${recipient} > x; mv x "note.$(sha256sum x | cut -c1-16).zst.age"`,
    );
    await well(of(), 'put', ['/root/sealed', 'bases/db']);
    const proven = await deploy(['backup', 'key', 'verify', 'prod', '--project', project.folder], {
      input: `# kept in the safe\n${key}\n`,
    });
    expect(proven.code, proven.stderr).toBe(0);
    expect(proven.stdout).toMatch(
      /opened the local repository[\s\S]*opened the offsite repository[\s\S]*opened bases\/db\/note\./,
    );
    expect(JSON.parse(await on(APP, 'cat /var/lib/slipway/backup/shop/escrow.json')).at).toMatch(/^\d{4}-/);
    const prompted = await deployInTerminal(
      ['backup', 'key', 'verify', 'prod', '--project', project.folder],
      [{ when: 'Your copy of the key', type: key }],
    );
    expect(prompted.code, prompted.screen).toBe(0);
    expect(prompted.screen).not.toContain(key);
    await on(APP, '! ls -d /run/slipway-key-* 2>/dev/null');
  });

  test('another key, and what is no key, prove nothing', async () => {
    await on(APP, 'rm /var/lib/slipway/backup/shop/escrow.json');
    const other = await on(APP, 'age-keygen 2>/dev/null | tail -1');
    expect((await request('verify', { key: other })).error?.message).toContain('another key');
    expect((await request('verify', { key: 'letmein' })).error?.message).toContain('no key');
    expect((await request('install', { key: other })).error?.message).toContain('Another key is on this host');
    await on(APP, '! test -e /var/lib/slipway/backup/shop/escrow.json');
  });

  test('a host in the place of a lost one makes no new key, and takes only the copy that opens what is there', async () => {
    await on(APP, `mv ${KEY} /root/lost.key`);
    const refused = await fails(of(), 'prepare');
    expect(refused).toMatchObject({ code: 'key-refused', hint: expect.stringContaining('deploy backup key install') });
    await on(APP, `! test -e ${KEY}`);
    const other = await on(APP, 'age-keygen 2>/dev/null | tail -1');
    expect((await request('install', { key: other })).error?.message).toContain('does not open');
    await on(APP, `! test -e ${KEY}`);
    const installed = await deploy(['backup', 'key', 'install', 'prod', '--project', project.folder], { input: key });
    expect(installed.code, installed.stderr).toBe(0);
    expect(await on(APP, `stat -c '%a %U' ${KEY} && cat ${KEY}`)).toBe(`600 root\n${key}`);
    await well(of(), 'prepare');
  });

  test('a repository that another key has made is refused with what to do', async () => {
    await on(
      APP,
      'age-keygen 2>/dev/null | tail -1 > /etc/slipway/backups/other.key; chmod 600 /etc/slipway/backups/other.key',
    );
    const refused = await fails({ ...settings('s3', 'all-s3'), app: 'other' }, 'prepare');
    expect(refused).toMatchObject({ code: 'key-refused', hint: expect.stringContaining('deploy backup key install') });
  });
});
