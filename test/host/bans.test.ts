import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { run as runHere } from '#core/run';
import type { Route } from '#inventory/environment';
import { certificates } from '#playbooks/certificates';
import { docker } from '#playbooks/docker';
import { harden as hardening } from '#playbooks/harden';
import { proxy } from '#playbooks/proxy';
import { down, type Release, type SandboxHost, start, stop, up } from '#sandbox/sandbox';
import { makeAnsweringImage } from '#test/support/answering';
import { onHost } from '#test/support/converge';
import { declaredBy, environmentOf, inside, routesBy } from '#test/support/hardened';
import { scan } from '#test/support/scan';

const ATTACKER = 'bans-attacker';
const DOMAIN = 'shop.example.com';
const CERTIFICATE = `/etc/slipway/certificates/${DOMAIN}/current`;

// Nothing serves `/`, so that nginx itself says 404: no container is needed for that.
const ROUTE: Route = { domain: DOMAIN, paths: [{ path: '/app', service: 'web', port: 3000 }] };
const WEB = {
  name: 'web',
  image: 'acme/shop:1',
  environment: {},
  volumes: [],
  compose: {},
  build: undefined,
  dependsOn: [],
  order: undefined,
  replicas: 1,
  healthPath: '/up',
  healthcheck: undefined,
};

let attacker: SandboxHost;

/** Requests over one connection to a host, as anybody who knows the domain. */
async function request(address: string, paths: readonly string[]): Promise<string> {
  const target = address.includes(':') ? `[${address}]:443` : `${address}:443`;
  const head = `HTTP/1.1\\r\\nHost: ${DOMAIN}\\r\\n`;
  const requests = paths.map((path) => `printf 'GET ${path} ${head}\\r\\n'`).join('; ');
  const last = `printf 'GET / ${head}Connection: close\\r\\n\\r\\n'`;
  const client = `timeout 8 openssl s_client -quiet -connect ${target} -servername ${DOMAIN}`;
  return await inside(ATTACKER, `{ ${requests}; ${last}; } | ${client} 2>&1 | grep -ao 'HTTP/1.1 [0-9]*'`);
}

const GUESS = ['BatchMode=yes', 'StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null', 'ConnectTimeout=2'];
/** One guess: at a user that the host does not have, or at root without a key. */
const guess = (address: string, user: string) => [
  ...['ssh', ...GUESS.flatMap((option) => ['-o', option]), `${user}@${address}`, 'true'],
];

beforeAll(async () => {
  await down([ATTACKER]).catch(() => undefined);
  attacker = await up({ name: ATTACKER, aptCache: true });
});

afterAll(async () => {
  await down([ATTACKER]);
});

describe.each<{ release: Release; name: string; hasDocker: boolean }>([
  { release: 'debian-13', name: 'bans-13', hasDocker: true },
  // Its Docker comes from a repository that cannot be reached from here.
  { release: 'debian-12', name: 'bans-12', hasDocker: false },
])('on $release', ({ release, name, hasDocker }) => {
  let host: SandboxHost;

  const banned = (jail: string) => inside(name, `fail2ban-client get ${jail} banip`);
  const doors = hasDocker ? [22, 443, 8443] : [22, 443];
  /** The doors that the attacker finds open. */
  async function reached(address: string): Promise<readonly number[]> {
    const open = await Promise.all(doors.map((port) => scan(ATTACKER, { address, ports: [port, port] })));
    return open.flat();
  }

  // fail2ban says that it has banned before it has.
  const shutOut = (address: string) => expect.poll(() => reached(address), { timeout: 20_000 }).toEqual([]);

  beforeAll(async () => {
    await down([name]).catch(() => undefined);
    host = await up({ name, release, aptCache: true, equipped: hasDocker });
    const playbooks = [hardening, ...(hasDocker ? [docker] : []), proxy];
    const environment = environmentOf(host, {
      firewall: { allow: [{ port: 8443, protocol: 'tcp', from: 'any', comment: undefined }] },
      services: { web: WEB },
      routes: [ROUTE],
      proxy: { clientMaxBodySize: 1024 ** 2, rateLimit: { perSecond: 5, burst: 10 } },
    });
    const impatient = {
      ...environment,
      harden: { ...environment.harden, fail2ban: { ...environment.harden.fail2ban, maxRetry: 3 } },
    };
    await using session = await onHost(host);
    const { facts } = await session.plan([]);
    const base = declaredBy(playbooks, impatient, facts);
    const options = { loginUser: 'deploy' };
    expect((await session.up(base, options)).error?.message).toBeUndefined();
    await inside(
      name,
      `mkdir -p ${CERTIFICATE} && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=${DOMAIN} -keyout ${CERTIFICATE}/key.pem -out ${CERTIFICATE}/fullchain.pem`,
    );
    const sites = declaredBy([certificates], impatient, facts).filter(({ kind }) => kind === 'nginx-site');
    expect((await session.up([...base, routesBy(impatient, facts), ...sites], options)).error?.message).toBeUndefined();
    if (!hasDocker) return;
    await makeAnsweringImage(name);
    await inside(name, 'docker run -d --restart unless-stopped -p 0.0.0.0:8443:80 -p [::]:8443:80 answer:1');
  });

  afterAll(async () => {
    await down([name]);
  });

  test('whoever guesses users is banned everywhere, containers included, and stays banned', async () => {
    expect(await reached(host.address)).toEqual(doors);
    const guesses = ['nobody-here', 'root', 'root'].map((user) => guess(host.address, user).join(' '));
    await inside(ATTACKER, guesses.join('; '));
    await expect.poll(() => banned('sshd'), { timeout: 20_000 }).toBe(attacker.address);
    await shutOut(host.address);
    await inside(name, 'systemctl restart fail2ban');
    await expect.poll(() => banned('sshd'), { timeout: 20_000 }).toBe(attacker.address);
    await shutOut(host.address);
    await stop(name);
    await start(name);
    await expect.poll(() => banned('sshd'), { timeout: 20_000 }).toBe(attacker.address);
    await shutOut(host.address);
    await inside(name, 'fail2ban-client unban --all');
    await expect.poll(() => reached(host.address), { timeout: 20_000 }).toEqual(doors);
  });

  test('the operator who does the same is not', async () => {
    for (let attempt = 0; attempt < 4; attempt += 1) {
      expect((await runHere(guess(host.address, 'nobody-here'), { timeout: 20 })).exitCode).toBe(255);
    }
    const log = () => inside(name, 'grep -c "Ignore 10.203.7.1 by command" /var/log/fail2ban.log');
    await expect.poll(log, { timeout: 20_000 }).not.toBe('0');
    expect(await banned('sshd')).toBe('');
  });

  test('whoever looks for what no app has is banned, over IPv6 too', async () => {
    for (const address of [host.address, host.address6]) {
      expect(await request(address, ['/.env', '/wp-login.php', '/.git/config'])).toMatch(/^(HTTP\/1.1 404\s*){4}$/);
      await shutOut(address);
    }
    expect((await banned('bots-shop')).split(/\s+/).sort()).toEqual([attacker.address, attacker.address6].sort());
    await inside(name, 'fail2ban-client unban --all');
  });

  test('whoever asks too often hears 429, and is banned when that does not help', async () => {
    await expect.poll(() => reached(host.address), { timeout: 20_000 }).toEqual(doors);
    // No container is there, and nobody waits for one: that nginx asks one at all is what counts here.
    await inside(name, 'ip route add unreachable 172.29.128.0/17');
    const answers = await request(
      host.address,
      Array.from({ length: 20 }, () => '/app'),
    );
    expect(answers).toMatch(/50[24][\s\S]*429/);
    await expect.poll(() => banned('nginx-limit-req'), { timeout: 20_000 }).toBe(attacker.address);
    await shutOut(host.address);
    await inside(name, 'fail2ban-client unban --all');
  });

  test('whoever fails a password of the web server is looked after too', async () => {
    expect(await inside(name, 'fail2ban-client status nginx-http-auth')).toContain('/var/log/nginx/error.log');
  });
});
