import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { composeProject, dockerDaemon, dockerLogin, dockerNetwork } from '#playbook/resources';
import { restart } from '#resources/resource';
import { down, up } from '#sandbox/sandbox';
import { type OnHost, onHost } from '#test/support/converge';
import { converges, fourPhases, says } from '#test/support/four-phases';

const NAME = 'net-docker';
const CANARY = 'canary-4711-secret';

let host: OnHost;

beforeAll(async () => {
  await down([NAME]).catch(() => undefined);
  host = await onHost(await up({ name: NAME, aptCache: true, equipped: true }));
  const prepared = await host.sh(`set -e; export DEBIAN_FRONTEND=noninteractive
    apt-get update -q
    apt-get install -y -q --no-install-recommends docker.io docker-cli docker-compose busybox-static docker-registry apache2-utils jq
    mkdir -p /etc/systemd/system/docker.service.d
    printf '[Unit]\\nStartLimitIntervalSec=0\\n' > /etc/systemd/system/docker.service.d/tests.conf
    systemctl daemon-reload
    mkdir -p /tmp/image/bin /tmp/image/tmp; cp /bin/busybox /tmp/image/bin
    for tool in sh sleep echo httpd false true; do ln -s busybox /tmp/image/bin/$tool; done
    tar -C /tmp/image -c . | docker import - box:1`);
  expect(prepared).toMatchObject({ code: 0 });
});

afterAll(async () => {
  await host?.[Symbol.asyncDispose]();
  await down([NAME]);
});

const web = (rest: string): string => `services:
  web:
    image: box:1
    init: true
    stop_grace_period: 1s
    restart: unless-stopped
${rest}`;

const project = (compose: string, extra: { env?: string; wait?: number } = {}) =>
  composeProject({ name: 'shop', directory: '/etc/slipway/apps/shop/test', compose, wait: 20, ...extra });

const SLEEP = web(`    command: sleep 100000
    env_file: .env
    volumes: [data:/data]
  side:
    image: box:1
    init: true
    command: httpd -f -p 8000
    stop_grace_period: 1s
    deploy: { replicas: 2 }
    healthcheck: { test: [CMD, "true"], interval: 1s }
volumes: { data: {} }
`);

describe('daemon.json', () => {
  const ours = {
    'live-restore': true,
    'log-driver': 'local',
    'default-address-pools': [{ base: '172.30.0.0/16', size: 24 }],
  };
  const resources = () => [dockerDaemon({ config: ours }, { triggers: [restart('docker.service')] })];

  test('converges in four phases without touching foreign keys or running containers', async () => {
    await host.sh(`echo '{"debug": true, "log-driver": "json-file"}' > /etc/docker/daemon.json
      systemctl restart docker; docker run -d --init --name keeper box:1 sleep 100000`);
    const before = await says(host, 'docker inspect keeper -f "{{.State.StartedAt}} {{.State.Pid}}"');
    await fourPhases(host, resources());
    expect(JSON.parse(await says(host, 'cat /etc/docker/daemon.json'))).toEqual({ debug: true, ...ours });
    expect(await says(host, 'docker info -f "{{.LiveRestoreEnabled}} {{.LoggingDriver}}"')).toBe('true local');
    expect(await says(host, 'docker inspect keeper -f "{{.State.StartedAt}} {{.State.Pid}}"')).toBe(before);
  });

  test('is not replaced by what dockerd would not accept', async () => {
    const { error } = await host.up([dockerDaemon({ config: { 'log-drivr': 'local' } })]);
    expect(error).toMatchObject({ code: 'docker-config-invalid' });
    expect(error?.message).toContain('log-drivr');
    expect(await says(host, 'jq -r keys[] /etc/docker/daemon.json')).not.toContain('log-drivr');
  });

  test('gives back what stood under our keys, keeps what came since', async () => {
    await host.up(resources());
    await host.sh(`jq '.mtu = 1400' /etc/docker/daemon.json > /tmp/d && cp /tmp/d /etc/docker/daemon.json`);
    expect((await host.up([])).error?.message).toBeUndefined();
    expect(JSON.parse(await says(host, 'cat /etc/docker/daemon.json'))).toEqual({
      debug: true,
      'log-driver': 'json-file',
      mtu: 1400,
    });
    await host.sh('docker rm -f keeper; rm /etc/docker/daemon.json; systemctl restart docker');
  });

  test('that is broken already is named, not replaced', async () => {
    await host.sh('echo "{oops" > /etc/docker/daemon.json');
    expect((await host.up(resources())).error).toMatchObject({ code: 'docker-config-invalid' });
    expect(await says(host, 'cat /etc/docker/daemon.json')).toBe('{oops');
    await host.sh('rm /etc/docker/daemon.json');
    await host.up([]);
  });
});

describe('a network', () => {
  const resources = (subnet = '172.29.5.0/24') => [
    dockerNetwork({ name: 'shop', subnet, ipv6: { subnet: 'fd00:5::/64' }, bridge: 'slip-shop' }),
  ];

  test('converges in four phases', async () => {
    await fourPhases(host, resources());
    expect(await says(host, 'ip -o -4 address show slip-shop')).toContain('172.29.5.1/24');
    expect(await says(host, 'docker network inspect shop -f "{{range .IPAM.Config}}{{.Subnet}} {{end}}"')).toBe(
      '172.29.5.0/24 fd00:5::/64',
    );
  });

  test('is made anew only where nobody uses it, running or not', async () => {
    await host.sh('docker run --name stopped --network shop box:1 true');
    const { error } = await host.up(resources('172.29.6.0/24'));
    expect(error).toMatchObject({ code: 'network-in-use' });
    expect(error?.message).toContain('subnet 172.29.5.0/24 -> 172.29.6.0/24');
    expect(error?.message).toContain('stopped');
    expect(await says(host, 'ip -o -4 address show slip-shop')).toContain('172.29.5.1/24');
    await host.sh('docker rm stopped');
    await converges(host, resources('172.29.6.0/24'));
    expect(await says(host, 'ip -o -4 address show slip-shop')).toContain('172.29.6.1/24');
  });

  test('does not take the addresses of another', async () => {
    await host.sh('docker network create --subnet 172.29.7.0/24 theirs');
    const wanted = dockerNetwork({ name: 'ours', subnet: '172.29.7.0/25' });
    const { error } = await host.up([wanted]);
    expect(error).toMatchObject({ code: 'subnet-taken' });
    expect(error?.message).toContain('theirs 172.29.7.0/24');
  });

  test('goes when it is no longer declared; one that was there before stays', async () => {
    await converges(host, [...resources(), dockerNetwork({ name: 'theirs', subnet: '172.29.7.0/24' })]);
    await host.up([]);
    expect((await says(host, 'docker network ls --format "{{.Name}}"')).split('\n').sort()).toEqual(
      ['bridge', 'host', 'none', 'theirs'].sort(),
    );
    await host.sh('docker network rm theirs');
  });
});

describe('a project', () => {
  const resources = () => [project(SLEEP, { env: `PASSWORD=${CANARY}\n` })];
  const running = () =>
    says(
      host,
      `docker ps --filter label=com.docker.compose.project=shop --format '{{.Label "com.docker.compose.service"}}' | sort | xargs`,
    );

  test('converges in four phases, its secret in the one file that needs it', async () => {
    await fourPhases(host, resources(), { secrets: [CANARY] });
    expect(await running()).toBe('side side web');
    expect(await says(host, 'docker exec shop-web-1 sh -c "echo \\$PASSWORD"')).toBe(CANARY);
    expect(await says(host, 'stat -c %a /etc/slipway/apps/shop/test/.env')).toBe('600');
    expect(await says(host, `grep -rl ${CANARY} /etc /var/lib/slipway /var/log /run/slipway`)).toBe(
      '/etc/slipway/apps/shop/test/.env',
    );
  });

  test('comes back from whatever was done to it, and then rests', async () => {
    const harm = fc.constantFrom(
      'docker stop -t 0 shop-web-1',
      'docker rm -f shop-side-1',
      'docker pause shop-side-2',
      'docker kill shop-web-1',
      'echo "# by hand" >> /etc/slipway/apps/shop/test/compose.yaml',
      'chmod 644 /etc/slipway/apps/shop/test/.env',
      'echo A=1 > /etc/slipway/apps/shop/test/.env',
      'rm /etc/slipway/apps/shop/test/.slipway-started.json',
      'rm -r /etc/slipway/apps/shop/test',
      'docker compose -p shop down --volumes',
      'systemctl stop docker docker.socket; sleep 1; systemctl start docker',
    );
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(harm, { minLength: 1, maxLength: 3 }), async (scripts) => {
        for (const script of scripts) await host.sh(script);
        await converges(host, resources());
        expect(await running()).toBe('side side web');
      }),
      { numRuns: 6, endOnFailure: true },
    );
  });

  test('is started again although its network was made anew', async () => {
    const compose = web(
      '    command: sleep 100000\n    networks: [net]\nnetworks: { net: { external: true, name: shop } }\n',
    );
    const both = () => [dockerNetwork({ name: 'shop', subnet: '172.29.5.0/24' }), project(compose)];
    await converges(host, both());
    await host.sh('docker stop -t 0 shop-web-1; docker network rm shop');
    await converges(host, both());
    expect(await running()).toBe('web');
  });

  test('that changes is changed; what it no longer has goes', async () => {
    await converges(host, [project(web('    command: sleep 200000\n'))]);
    expect(await running()).toBe('web');
    expect(await says(host, 'ls -A /etc/slipway/apps/shop/test | grep env')).toBe('');
  });

  test('goes when it is no longer declared; its volumes stay', async () => {
    await host.up(resources());
    await host.sh('docker exec shop-web-1 sh -c "echo kept > /data/file"');
    expect((await host.up([])).error?.message).toBeUndefined();
    expect(await says(host, 'docker ps -aq; docker network ls -q --filter label=com.docker.compose.project')).toBe('');
    expect(await says(host, 'ls -d /etc/slipway/apps/shop/test')).toContain('No such file');
    expect(await says(host, 'cat /var/lib/docker/volumes/shop_data/_data/file')).toBe('kept');
  });

  test.each([
    ['a key that is none', 'services:\n  web:\n    imagee: box:1\n', 'compose-invalid', 'imagee'],
    [
      'a registry that is not there',
      'services:\n  web: { image: "localhost:5999/x:1" }\n',
      'registry-unreachable',
      'localhost:5999',
    ],
    ['a crash', web('    command: [sh, -c, "echo no DATABASE_URL; exit 3"]\n'), 'container-failed', 'no DATABASE_URL'],
    ['a program that is missing', web('    command: [nosuch]\n'), 'container-failed', 'exec nosuch failed'],
    [
      'a failing check',
      web(
        '    command: [sh, -c, "echo serving; sleep 1000"]\n    healthcheck: { test: [CMD, "false"], interval: 1s, retries: 1 }\n',
      ),
      'container-failed',
      'serving',
    ],
    [
      'a check that takes too long',
      web('    command: sleep 1000\n    healthcheck: { test: [CMD, "true"], interval: 60s }\n'),
      'container-failed',
      'is not healthy',
    ],
    ['a taken port', web('    command: sleep 1000\n    ports: ["22:22"]\n'), 'port-taken', 'Port 22'],
    [
      'a network that is missing',
      web('    networks: [x]\nnetworks: { x: { external: true } }\n'),
      'compose-invalid',
      'network x',
    ],
  ])('with %s explains itself', async (_, compose, code, part) => {
    const { error } = await host.up([project(compose, { wait: 5 })]);
    expect(`${error?.code}: ${error?.message}`).toMatch(code);
    expect(error?.message).toContain(part);
    await converges(host, [project(web('    command: sleep 300000\n'))]);
  });

  test('whose new file is refused runs on as it was', async () => {
    const before = await says(host, 'docker inspect shop-web-1 -f "{{.State.StartedAt}}"');
    await host.up([project('services:\n  web:\n    imagee: box:1\n')]);
    expect(await says(host, 'docker inspect shop-web-1 -f "{{.State.StartedAt}}"')).toBe(before);
    expect(await says(host, 'cat /etc/slipway/apps/shop/test/compose.yaml')).toContain('sleep 300000');
    await host.up([]);
  });
});

describe('a login', () => {
  const login = (password: string) =>
    dockerLogin({ registry: 'localhost:5000', username: 'ann', password }, { sensitive: true });
  const image = project(`services: { web: { image: "localhost:5000/box:1", command: sleep 1000, init: true } }\n`);

  beforeAll(async () => {
    await host.sh(`htpasswd -nbB ann ${CANARY} > /etc/docker/registry/htpasswd
      cat > /etc/docker/registry/config.yml <<E
version: 0.1
storage: { filesystem: { rootdirectory: /var/lib/docker-registry } }
http: { addr: ":5000" }
auth: { htpasswd: { realm: test, path: /etc/docker/registry/htpasswd } }
E
      systemctl restart docker-registry
      for i in 1 2 3 4 5; do curl -s localhost:5000 && break; sleep 1; done
      docker login -u ann -p ${CANARY} localhost:5000; docker tag box:1 localhost:5000/box:1
      docker push localhost:5000/box:1; docker rmi localhost:5000/box:1; docker logout localhost:5000`);
  });

  test('is missed by a private image, with the way out', async () => {
    const { error } = await host.up([image]);
    expect(error).toMatchObject({ code: 'image-unauthorized' });
    expect(error?.hint).toContain('docker.registries');
  });

  test('with a wrong password is refused, and nothing is stored', async () => {
    expect((await host.up([login('wrong-password')])).error).toMatchObject({ code: 'registry-login-failed' });
    expect(await says(host, 'cat /root/.docker/config.json')).not.toContain('auth":');
  });

  test('converges in four phases, and lets the image in', async () => {
    await fourPhases(host, [login(CANARY), image], { secrets: [CANARY] });
    expect(await says(host, 'stat -c %a /root/.docker/config.json')).toBe('600');
    expect(await says(host, 'docker ps --format "{{.Image}}"')).toBe('localhost:5000/box:1');
  });

  test('goes when it is no longer declared', async () => {
    await host.up([]);
    expect(await says(host, 'jq -c .auths /root/.docker/config.json')).toBe('{}');
  });
});
