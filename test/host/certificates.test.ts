import { mkdtempSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { run } from '#core/run';
import { aptPackage, certificate, directory, nginxSite, reload } from '#playbook/resources';
import { certificatePaths, WEBROOT } from '#resources/certificate-terms';
import type { Declared } from '#resources/resource';
import { down, type Internet, internet, type SandboxHost, setRecord, up } from '#sandbox/sandbox';
import { type AcmeFront, type Answer, acmeFront } from '#test/support/acme-front';
import { type OnHost, onHost, type Run } from '#test/support/converge';

const HOST = 'cert-1';
const DOMAIN = 'cert-shop.sandbox.test';
const WWW = 'cert-www.sandbox.test';
const RUNNER = '/opt/slipway/current/slipway-host';
const STORE = `/etc/slipway/certificates/${DOMAIN}`;
const RELOAD = { triggers: [reload('nginx.service')] };

const roots = join(mkdtempSync(join(tmpdir(), 'certificate-roots-')), 'roots.pem');

let net: Internet;
let box: SandboxHost;
let host: OnHost;
let front: AcmeFront;

const port80: readonly Declared[] = [
  aptPackage({ name: 'nginx' }),
  directory({ path: WEBROOT }),
  nginxSite(
    {
      name: 'plain',
      files: {
        'sites-enabled/plain.conf': `server {
          listen 80 default_server; listen [::]:80 default_server;
          location /.well-known/acme-challenge/ { root ${WEBROOT}; }
          location / { return 301 https://$host$request_uri; }
        }`,
      },
      replaces: ['sites-enabled/default'],
    },
    RELOAD,
  ),
];

function wanted(more: Partial<Parameters<typeof certificate>[0]> = {}): Declared {
  return certificate({ domains: [DOMAIN], directory: front.directory, email: 'me@sandbox.test', ...more }, RELOAD);
}

const paths = certificatePaths(DOMAIN);
const site = nginxSite(
  {
    name: 'secure',
    files: {
      'sites-enabled/secure.conf': `server {
        listen 443 ssl; listen [::]:443 ssl; server_name ${DOMAIN};
        ssl_certificate ${paths.chain}; ssl_certificate_key ${paths.key};
        location / { return 200 "served\\n"; }
      }`,
    },
  },
  RELOAD,
);

interface Served {
  readonly fingerprint: string;
  readonly names: string;
  readonly verified: boolean;
}

/** What is served once nginx has settled: for a moment after a reload its old workers still answer. */
async function served(): Promise<Served> {
  const { fingerprint } = await inUse();
  for (let attempt = 0; ; attempt += 1) {
    const seen = await servedNow();
    if (seen.fingerprint === fingerprint || attempt === 10) return seen;
    await sleep(300);
  }
}

/** What openssl, from outside, says of the certificate that is served. */
async function servedNow(): Promise<Served> {
  await writeFile(roots, await net.acmeRoots());
  const client = await run([
    ...['openssl', 's_client', '-connect', `${box.address}:443`, '-servername', DOMAIN, '-showcerts'],
    ...['-CAfile', roots, '-verify_hostname', DOMAIN],
  ]);
  const x509 = await run(['openssl', 'x509', '-noout', '-fingerprint', '-sha256', '-ext', 'subjectAltName'], {
    input: client.stdout,
  });
  return {
    fingerprint: /Fingerprint=(\S+)/.exec(x509.stdout)?.[1] ?? '',
    names: /DNS:.*/.exec(x509.stdout)?.[0] ?? '',
    verified: client.stdout.includes('Verify return code: 0 (ok)'),
  };
}

/** What openssl, on the host, says of the pair in use. */
async function inUse(): Promise<{ fingerprint: string; pairs: boolean }> {
  const { stdout } = await host.sh(`cd ${STORE}/current
    openssl x509 -in fullchain.pem -noout -fingerprint -sha256
    [ "$(openssl x509 -in fullchain.pem -noout -pubkey)" = "$(openssl pkey -in key.pem -pubout)" ] && echo pair`);
  return { fingerprint: /Fingerprint=(\S+)/.exec(stdout)?.[1] ?? '', pairs: stdout.includes('pair') };
}

/** Makes every certificate due at once, until the next declaration mends its terms. */
async function age(): Promise<void> {
  await host.sh(`rm -f ${STORE}/failure.json
    sed -i 's/"directory"/"renewAfterFraction": 1e-9, "directory"/' ${STORE}/current/meta.json`);
}

async function renew() {
  return await host.sh(`${RUNNER} renew --now`);
}

function warnings({ events }: Run): string {
  return events.map((event) => (event.type === 'warning' ? event.message : '')).join('\n');
}

beforeAll(async () => {
  net = await internet();
  box = await up({ name: HOST, aptCache: true });
  host = await onHost(box);
  front = await acmeFront(net, 'cert-front.sandbox.test');
  await setRecord(DOMAIN, { a: [box.address], aaaa: [box.address6] });
  await setRecord(WWW, { a: [box.address], aaaa: [box.address6] });
});

afterAll(async () => {
  await front?.[Symbol.asyncDispose]();
  await host?.[Symbol.asyncDispose]();
  await setRecord(DOMAIN, {});
  await setRecord(WWW, {});
  await down([HOST]);
  await rm(dirname(roots), { recursive: true });
});

beforeEach(async () => {
  front.behave = () => undefined;
  front.reset();
  await host.sh(`rm -f ${STORE}/failure.json`);
});

describe('a certificate on a real host', () => {
  it('is asked for, put into use and served: check, apply, check, apply', async () => {
    expect((await host.up(port80)).error).toBeUndefined();
    const all = [...port80, wanted(), site];
    const planned = await host.plan(all);
    expect(planned.steps.map(({ resource }) => resource)).toContain(`certificate:${DOMAIN}`);
    expect((await host.up(all)).error).toBeUndefined();
    expect((await host.plan(all)).steps).toEqual([]);
    const posts = front.posts;
    expect((await host.up(all)).events.filter(({ type }) => type === 'resource.changed')).toEqual([]);
    expect(front.posts).toBe(posts);
    expect(await served()).toEqual({
      fingerprint: (await inUse()).fingerprint,
      names: `DNS:${DOMAIN}`,
      verified: true,
    });
    const { stdout } = await host.sh(`find /etc/slipway/certificates -printf '%m %y %f\\n' | sort -u
      openssl pkey -in ${paths.key} -noout -text | grep -i curve; ls ${WEBROOT}/.well-known/acme-challenge | wc -l`);
    expect(stdout).not.toMatch(/^(?!700|777 l|600)\d+ /m);
    expect(stdout).toContain('P-256');
    expect(stdout.trim().split('\n').at(-1)).toBe('0');
  });

  it('follows its names', async () => {
    const both = [...port80, wanted({ domains: [DOMAIN, WWW] }), site];
    expect((await host.up(both)).error).toBeUndefined();
    expect((await served()).names).toContain(WWW);
    expect((await host.up([...port80, wanted(), site])).error).toBeUndefined();
    expect((await served()).names).toBe(`DNS:${DOMAIN}`);
  });

  it.each([
    ['a foreign key', `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 > ${STORE}/current/key.pem`],
    ['a cut chain', `truncate -s 100 ${STORE}/current/fullchain.pem`],
    ['a readable key', `chmod 644 ${STORE}/current/key.pem`],
    ['lost terms', `rm ${STORE}/current/meta.json`],
    ['a lost link', `rm ${STORE}/current`],
    [
      'rubbish beside it',
      `mkdir ${STORE}/20990101000000000.new; echo x > ${STORE}/order.json; echo x > ${STORE}/failure.json`,
    ],
    [
      'an ended one',
      `cd ${STORE}/current; openssl req -x509 -key key.pem -days 0 -subj /CN=old -addext subjectAltName=DNS:${DOMAIN} -out fullchain.pem; sleep 1`,
    ],
    ['lost accounts', 'rm -r /etc/slipway/certificates/accounts'],
  ])('converges in one run from %s', async (_what, spoil) => {
    await host.sh(spoil);
    const all = [...port80, wanted(), site];
    expect((await host.up(all)).error).toBeUndefined();
    expect((await host.plan(all)).steps).toEqual([]);
    expect((await inUse()).pairs).toBe(true);
    expect((await served()).fingerprint).toBe((await inUse()).fingerprint);
  });
});

describe('a renewal by the host itself', () => {
  it('does nothing before its time', async () => {
    const before = await served();
    const done = await renew();
    expect(done.stdout).toContain(`${DOMAIN}: kept`);
    expect(done.stdout).not.toContain('reloaded');
    expect(await served()).toEqual(before);
  });

  it('renews what has come of age, and nginx serves it', async () => {
    const before = await served();
    await age();
    const done = await renew();
    expect(done).toMatchObject({ code: 0, stderr: '' });
    expect(done.stdout).toContain(`${DOMAIN}: renewed`);
    const after = await served();
    expect(after).toMatchObject({ verified: true, fingerprint: (await inUse()).fingerprint });
    expect(after.fingerprint).not.toBe(before.fingerprint);
  });

  it('makes up for a reload that a crash swallowed', async () => {
    await age();
    await host.sh(`mv /usr/bin/systemctl /usr/bin/systemctl.away`);
    const broken = await renew();
    await host.sh(`mv /usr/bin/systemctl.away /usr/bin/systemctl`);
    expect(broken.code).toBe(1);
    expect((await served()).fingerprint).not.toBe((await inUse()).fingerprint);
    await host.up([...port80, wanted(), site]);
    const repaired = await renew();
    expect(repaired.stdout).toMatch(/kept|reloaded/);
    expect((await served()).fingerprint).toBe((await inUse()).fingerprint);
  });

  it('leaves the wait to the authority, the certificate in place and the next run short', async () => {
    const before = await served();
    await age();
    front.behave = ({ path }) =>
      path.startsWith('/order')
        ? {
            status: 429,
            headers: { 'retry-after': '3600' },
            body: { type: 'urn:ietf:params:acme:error:rateLimited', detail: 'too many certificates already issued' },
          }
        : undefined;
    const limited = await renew();
    expect(limited.code).toBe(1);
    expect(limited.stderr).toContain('too many certificates already issued [rateLimited] (not before');
    front.reset();
    const again = await renew();
    expect(again.stdout).toContain(`${DOMAIN}: waiting`);
    expect(front.posts).toBe(0);
    // Nor does a person's run ask before the time is over, even where it has to fail for it.
    const run = await host.up([...port80, wanted({ domains: [DOMAIN, WWW] }), site]);
    expect(run.error).toMatchObject({ code: 'certificate-rate-limited' });
    expect(run.error?.message).toContain('not asked again before');
    expect(front.posts).toBe(0);
    expect(await served()).toEqual(before);
  });

  it.each<[string, (post: number) => Answer | undefined]>([
    ['fails now and then', (post) => (post % 3 === 1 ? { status: 503 } : undefined)],
    [
      'asks for a second now and then',
      (post) => (post % 4 === 2 ? { status: 429, headers: { 'retry-after': '1' } } : undefined),
    ],
  ])('gets there with an authority that %s', async (_what, answer) => {
    const before = await served();
    await age();
    front.behave = ({ method, post }) => (method === 'POST' ? answer(post) : undefined);
    const done = await renew();
    expect(done.stderr).toBe('');
    expect(done.stdout).toContain(`${DOMAIN}: renewed`);
    expect((await served()).fingerprint).not.toBe(before.fingerprint);
  });

  it('takes up what a kill -9 left, at whatever request it came', async () => {
    for (let at = 1; ; at += 1) {
      await age();
      const before = await inUse();
      let held = false;
      front.reset();
      front.behave = async ({ post, method }) => {
        if (method !== 'POST' || post < at || held) return undefined;
        held = true;
        await sleep(3000);
        return { status: 503 };
      };
      const running = renew();
      const over = running.then(() => true);
      while (!held && !(await Promise.race([over, sleep(20).then(() => false)])));
      if (!held) {
        await running;
        // Every request of an issuance has had its turn.
        expect(at).toBeGreaterThan(4);
        break;
      }
      await host.sh(`pkill -9 -f 'slipway-host.mjs renew'`);
      await running;
      front.behave = () => undefined;
      expect(await inUse()).toEqual({ fingerprint: before.fingerprint, pairs: true });
      const done = await renew();
      expect(done.stdout).toContain(`${DOMAIN}: renewed`);
      const after = await inUse();
      expect(after.pairs).toBe(true);
      expect((await served()).fingerprint).toBe(after.fingerprint);
    }
    const { stdout } = await host.sh(`ls ${WEBROOT}/.well-known/acme-challenge | wc -l; ls ${STORE}`);
    expect(stdout).not.toContain('.new');
  });
});

describe('bad luck', () => {
  beforeAll(async () => {
    await host.up([...port80, wanted(), site]);
  });

  /** Wants another name too, so that the authority has to be asked; the certificate in use must not change. */
  async function failing(more: Partial<Parameters<typeof certificate>[0]> = {}): Promise<Run> {
    const before = await served();
    const run = await host.up([...port80, wanted({ domains: [DOMAIN, WWW], ...more }), site]);
    expect(await served()).toEqual(before);
    expect((await inUse()).fingerprint).toBe(before.fingerprint);
    await host.sh(`rm -f ${STORE}/failure.json`);
    return run;
  }

  it('names the address that a domain leads to elsewhere', async () => {
    front.reset();
    await setRecord(WWW, { a: [net.address] });
    const { error } = await failing();
    await setRecord(WWW, { a: [box.address] });
    expect(error).toMatchObject({ code: 'certificate-dns', resource: `certificate:${DOMAIN}` });
    expect(error?.message).toContain(`${WWW} cannot be proven over port 80: A ${net.address} (not this host)`);
    expect(error?.hint).toContain(`Change the A record ${net.address}`);
    expect(front.posts).toBe(0);
  });

  it('names a stale AAAA record beside a good A record', async () => {
    front.reset();
    await setRecord(WWW, { a: [box.address], aaaa: ['fd5a:203:7::dead'] });
    const { error } = await failing();
    await setRecord(WWW, { a: [box.address] });
    expect(error).toMatchObject({ code: 'certificate-dns' });
    expect(error?.hint).toContain('Remove the AAAA record fd5a:203:7::dead');
    expect(front.posts).toBe(0);
  });

  it('names a domain that does not exist', async () => {
    const { error } = await failing({ domains: [DOMAIN, 'cert-nowhere.sandbox.test'] });
    expect(error).toMatchObject({ code: 'certificate-dns' });
    expect(error?.message).toContain('cert-nowhere.sandbox.test has neither an A nor an AAAA record');
  });

  it('explains an authority that finds another DNS than the host', async () => {
    await setRecord(WWW, { a: [net.address] });
    const { error } = await failing({ preflight: 'skip' });
    await setRecord(WWW, { a: [box.address] });
    expect(error).toMatchObject({ code: 'certificate-challenge' });
    expect(error?.message).toContain(WWW);
  });

  it('only warns before it asks where the host cannot see itself', async () => {
    await setRecord(WWW, { a: [net.address] });
    const run = await failing({ preflight: 'warn' });
    await setRecord(WWW, { a: [box.address] });
    expect(warnings(run)).toContain('(not this host)');
    expect(run.error?.code).toBe('certificate-challenge');
  });

  it('names the firewall that keeps the authority out', async () => {
    await host.sh(`apt-get install -qq -y ufw >/dev/null 2>&1
      ufw allow 22/tcp; ufw allow 443/tcp; ufw --force enable`);
    const { error } = await failing();
    await host.sh('ufw --force disable');
    expect(error).toMatchObject({ code: 'certificate-challenge' });
    expect(error?.hint).toContain('ufw allow 80/tcp');
  });

  it('names nginx that does not serve the token', async () => {
    await host.sh(`rm -f /etc/nginx/sites-enabled/plain.conf; systemctl reload nginx; sleep 1`);
    const before = await served();
    const { error } = await host.up([wanted({ domains: [DOMAIN, WWW] })], { app: 'other' });
    await host.up([], { app: 'other' });
    await host.up([...port80, wanted(), site]);
    expect(error).toMatchObject({ code: 'certificate-challenge' });
    expect(error?.message).toMatch(new RegExp(`A ${box.address} (refused the connection|answered)`));
    expect(await served()).toEqual(before);
  });

  it('names an authority that is down', async () => {
    const gone = new URL(front.directory);
    gone.port = '9';
    const { error } = await failing({ directory: gone.href });
    expect(error).toMatchObject({ code: 'certificate-authority' });
    expect(error?.message).toContain('ECONNREFUSED');
  });

  it('names an authority whose name does not exist', async () => {
    const { error } = await failing({ directory: 'https://cert-no-ca.sandbox.test/dir' });
    expect(error).toMatchObject({ code: 'certificate-authority' });
    expect(error?.message).toContain('ENOTFOUND');
  });

  it('names an authority that cannot be trusted', async () => {
    await host.sh(
      'cp -a /etc/ssl/certs/ca-certificates.crt /root/kept; head -c 100000 /root/kept > /etc/ssl/certs/ca-certificates.crt',
    );
    const { error } = await failing();
    await host.sh('cp -a /root/kept /etc/ssl/certs/ca-certificates.crt');
    expect(error).toMatchObject({ code: 'certificate-authority' });
    expect(error?.hint).toContain('timedatectl');
  });

  it.each(['caa', 'rejectedIdentifier', 'externalAccountRequired', 'userActionRequired', 'serverInternal'])(
    'says what an authority answers with %s',
    async (type) => {
      front.behave = ({ path }) =>
        path.startsWith('/order')
          ? {
              status: type === 'serverInternal' ? 500 : 403,
              body: { type: `urn:ietf:params:acme:error:${type}`, detail: 'so it is' },
            }
          : undefined;
      const { error } = await failing();
      front.behave = () => undefined;
      expect(error?.message).toContain(`so it is [${type}]`);
      expect(error?.code).toMatch(/^certificate-/);
    },
  );

  it('begins anew where the order it left is gone, and where it was never good', async () => {
    const order = { directory: front.directory, domains: [DOMAIN, WWW], key: 'none' };
    const url = front.directory.replace('/dir', '/my-order/gone');
    await host.sh(`printf %s '${JSON.stringify({ ...order, url })}' > ${STORE}/order.json`);
    const run = await host.up([...port80, wanted({ domains: [DOMAIN, WWW] }), site]);
    expect(run.error).toBeUndefined();
    expect((await served()).names).toContain(WWW);
    await host.up([...port80, wanted(), site]);
  });

  it('registers again where the authority has forgotten the account', async () => {
    await host.sh(
      `sed -i 's#"url": "[^"]*"#"url": "${front.directory.replace('/dir', '/my-account/gone')}"#' /etc/slipway/certificates/accounts/*/account.json`,
    );
    const run = await host.up([...port80, wanted({ domains: [DOMAIN, WWW] }), site]);
    expect(run.error).toBeUndefined();
    await host.up([...port80, wanted(), site]);
  });
});

describe('in the end', () => {
  it('has told no key to anybody', async () => {
    const { stdout } = await host.sh(
      `grep -rl 'PRIVATE KEY' /var/lib/slipway /var/log/slipway /run/slipway /tmp 2>/dev/null; journalctl --no-pager | grep -c 'PRIVATE KEY'`,
    );
    expect(stdout.trim()).toBe('0');
  });

  it('is gone when it is no longer declared', async () => {
    expect((await host.up(port80)).error).toBeUndefined();
    const { stdout } = await host.sh(`ls /etc/slipway/certificates; nginx -t 2>&1 | tail -1`);
    expect(stdout).not.toContain(DOMAIN);
    expect(stdout).toContain('successful');
  });
});
