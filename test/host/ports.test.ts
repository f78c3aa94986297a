import { afterAll, beforeAll, expect, test } from 'vitest';
import { docker } from '#playbooks/docker';
import { harden as hardening } from '#playbooks/harden';
import { down, run, type SandboxHost, start, stop, up } from '#sandbox/sandbox';
import { makeAnsweringImage } from '#test/support/answering';
import { environmentOf, harden, inside } from '#test/support/hardened';
import { datagram, scan } from '#test/support/scan';

const [NAME, OTHER] = ['ports-vps', 'ports-outside'];
/** A private address that is not of the network the two hosts share. */
const PRIVATE = '10.9.9.9';

const anywhere = { from: 'any', comment: undefined } as const;
const ALLOW = [
  { port: 8443, protocol: 'tcp', ...anywhere },
  { port: 5355, protocol: 'udp', ...anywhere },
  { port: 9100, protocol: 'tcp', from: ['203.0.113.0/24'], comment: undefined },
] as const;
const OPEN = [22, 8443];
const DECLARED = { v4: OPEN, v6: OPEN, privately: OPEN };

const LET_THROUGH = ['iptables', 'ip6tables'].map((tool) => `${tool} -F FORWARD; ${tool} -P FORWARD ACCEPT`).join('; ');

let host: SandboxHost;
let other: SandboxHost;
let container: string;

/** All that answers over TCP, from the three places that see a host differently. */
async function open(ports?: readonly [number, number]) {
  const some = ports === undefined ? {} : { ports };
  const [v4, v6, privately] = await Promise.all([
    scan(OTHER, { address: host.address, ...some }),
    scan(OTHER, { address: host.address6, ...some }),
    scan(OTHER, { address: host.address, from: PRIVATE, ...some }),
  ]);
  return { v4, v6, privately };
}

/** What else leads to a container: its own address, loopback as a neighbour addresses it, datagrams. */
async function waysIn() {
  const [direct, loopback, ...udp] = await Promise.all([
    scan(OTHER, { address: container, ports: [79, 81] }),
    scan(OTHER, { address: '127.0.0.1', ports: [9000, 9000] }),
    datagram(OTHER, host.address, 5353),
    datagram(OTHER, host.address6, 5353),
    datagram(OTHER, host.address, 5355),
    datagram(OTHER, host.address6, 5355),
  ]);
  return { direct, loopback, udp };
}

const POLL = { timeout: 60_000, interval: 500 };

const CLOSED = { direct: [], loopback: [], udp: ['', '', 'hello', 'hello'] };

/** How the host answers the private address; an upgrade of systemd-networkd takes such a route away. */
async function wayBack(): Promise<void> {
  await inside(NAME, `ip route replace ${PRIVATE}/32 via ${other.address}`);
}

/** Until what is declared answers again: containers, their IPv6 and Docker's rules take a moment. */
async function restored(): Promise<void> {
  await wayBack();
  await expect.poll(() => open([8443, 8443]), POLL).toEqual({ v4: [8443], v6: [8443], privately: [8443] });
  await expect.poll(async () => (await waysIn()).udp, POLL).toEqual(CLOSED.udp);
}

/** Docker as it was before Slipway, or as somebody has changed it since: with its own proxy, and reaching for IPv6. */
async function loosenDocker(): Promise<void> {
  const settings = JSON.parse(await inside(NAME, 'cat /etc/docker/daemon.json')) as Record<string, unknown>;
  const looser = { ...settings, 'userland-proxy': true, experimental: true, ip6tables: true };
  await run(NAME, ['tee', '/etc/docker/daemon.json'], { input: JSON.stringify(looser) });
  const publish = (...ports: string[]) => ports.flatMap((port) => ['-p', port]).join(' ');
  const started = await inside(
    NAME,
    `systemctl restart docker
docker network create --ipv6 --subnet fd00:9::/64 six
docker run -d --restart unless-stopped --name four ${publish('0.0.0.0:8080:80', '0.0.0.0:8443:80', '0.0.0.0:9100:80', '127.0.0.1:9000:80', '0.0.0.0:5353:53/udp', '0.0.0.0:5355:53/udp')} answer:1
docker run -d --restart unless-stopped --name six --network six ${publish('[::]:8081:80', '[::]:8443:80', '[::]:5353:53/udp', '[::]:5355:53/udp')} answer:1
docker run -d --restart unless-stopped --name proxied ${publish('[::]:8082:80')} answer:1`,
  );
  expect(started).not.toMatch(/error/i);
  container = await inside(NAME, "docker inspect --format '{{.NetworkSettings.IPAddress}}' four");
}

beforeAll(async () => {
  await down([NAME, OTHER]).catch(() => undefined);
  [host, other] = await Promise.all([up({ name: NAME, aptCache: true }), up({ name: OTHER, aptCache: true })]);
  await harden(host, [hardening, docker], environmentOf(host, { firewall: { allow: ALLOW } }));
  await makeAnsweringImage(NAME);
  await loosenDocker();
  const routed = await inside(
    OTHER,
    `ip address add ${PRIVATE}/32 dev host0
ip route add ${container}/32 via ${host.address}
sysctl -qw net.ipv4.conf.all.route_localnet=1
ip address del 127.0.0.1/8 dev lo; ip route add 127.0.0.1/32 via ${host.address}`,
  );
  expect(routed).toBe('');
  await wayBack();
});

afterAll(async () => {
  await down([NAME, OTHER]);
});

test('without our table a container is reached in every one of these ways', async () => {
  await inside(NAME, 'nft delete table inet slipway');
  try {
    // A container's IPv6 address is of use only once nobody else was found to have it.
    await expect
      .poll(() => open([8000, 9200]), POLL)
      .toEqual({
        v4: [8080, 8443, 9100],
        v6: [8081, 8443],
        privately: [8080, 8443, 9100],
      });
    expect(await waysIn()).toEqual({ direct: [80], loopback: [9000], udp: ['hello', 'hello', 'hello', 'hello'] });
  } finally {
    await inside(NAME, 'systemctl reload slipway-nft-slipway');
  }
});

test('of all 65,535 ports those that are declared are open, and no others; the host itself reaches them all', async () => {
  expect(await open()).toEqual(DECLARED);
  expect(await waysIn()).toEqual(CLOSED);
  expect(await scan(NAME, { address: '127.0.0.1', ports: [8000, 9200] })).toEqual([8080, 8443, 9000, 9100]);
});

test('what passes through the host to others is left alone', async () => {
  // A network of the host's own, as a VPN or a virtual machine has one.
  await inside(
    NAME,
    `ip netns add guest; ip link add virbr0 type veth peer name eth0 netns guest
ip address add 10.77.0.1/24 dev virbr0; ip link set virbr0 up
ip -n guest address add 10.77.0.2/24 dev eth0; ip -n guest link set eth0 up; ip -n guest route add default via 10.77.0.1
ufw route allow to 10.77.0.0/24
systemd-run --quiet --unit=guest ip netns exec guest perl -e 'use Socket; socket(my $s, AF_INET, SOCK_STREAM, 0); bind($s, pack_sockaddr_in(7000, INADDR_ANY)); listen($s, 9); sleep 600'`,
  );
  await inside(OTHER, `ip route add 10.77.0.0/24 via ${host.address}`);
  await expect.poll(() => scan(OTHER, { address: '10.77.0.2', ports: [7000, 7001] })).toEqual([7000]);
  await inside(NAME, 'systemctl stop guest; ip netns delete guest; ufw route delete allow to 10.77.0.0/24');
});

test.each([
  ['ufw was reloaded', 'ufw reload'],
  ['Docker was restarted', 'systemctl restart docker'],
  ['somebody has let everything through', LET_THROUGH],
  [
    'somebody has an /etc/nftables.conf that flushes everything',
    'systemctl enable --now nftables; systemctl reload nftables',
  ],
  ['updates were installed', 'unattended-upgrade'],
])('so it is after %s', async (_, script) => {
  await inside(NAME, script);
  await restored();
  expect(await open()).toEqual(DECLARED);
  expect(await waysIn()).toEqual(CLOSED);
});

test('so it is after a reboot', async () => {
  await stop(NAME);
  await start(NAME);
  await restored();
  expect(await open()).toEqual(DECLARED);
  expect(await waysIn()).toEqual(CLOSED);
});
