import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Environment } from '#inventory/environment';
import { appNetwork, freePools, slotAddresses } from '#playbooks/networks';
import { networkOf } from '#playbooks/routing';
import type { Facts } from '#protocol/facts';

const POOLS = [
  { base: '172.29.0.0/16', size: 24 },
  { base: '192.168.224.0/20', size: 24 },
];

const name = fc.stringMatching(/^[a-z][a-z0-9-]{0,12}$/);
const services = fc.uniqueArray(fc.record({ name, replicas: fc.integer({ min: 1, max: 8 }) }), {
  maxLength: 6,
  selector: (service) => service.name,
});

function number(address: string): number {
  return address.split('.').reduce((value, octet) => value * 256 + Number(octet), 0);
}

describe("an app's network", () => {
  test('is the same at every run and lies in the half of a pool that Docker does not begin with', () => {
    expect(appNetwork('shop', POOLS, [])).toBe('172.29.166.0/23');
    fc.assert(
      fc.property(name, (app) => {
        const network = appNetwork(app, POOLS, ['10.0.0.0/8']);
        expect(network).toBe(appNetwork(app, POOLS, []));
        expect(number(network.split('/')[0] ?? '')).toBeGreaterThanOrEqual(number('172.29.128.0'));
        expect(number(network.split('/')[0] ?? '')).toBeLessThan(number('172.30.0.0'));
      }),
    );
  });

  test('gives way to networks of the host', () => {
    expect(appNetwork('shop', POOLS, ['172.29.166.0/24'])).toBe('172.29.168.0/23');
    expect(appNetwork('shop', POOLS, ['172.16.0.0/12'])).toMatch(/^192\.168\.2/);
    expect(freePools(POOLS, ['172.29.4.0/24'])).toEqual([POOLS[1]]);
  });

  test('is refused where the host is on all of them', () => {
    const everywhere = ['172.16.0.0/12', '192.168.0.0/16'];
    expect(() => freePools(POOLS, everywhere)).toThrow(/overlaps with every network/);
    expect(() => appNetwork('shop', POOLS, everywhere)).toThrow(/no pool of docker has room/i);
  });

  test('is smaller where a pool is small', () => {
    expect(appNetwork('shop', [{ base: '10.9.8.0/24', size: 26 }], [])).toBe('10.9.8.128/25');
  });
});

describe('the addresses of slots', () => {
  test('are all different, and in the upper half of the network without its broadcast address', () => {
    fc.assert(
      fc.property(services, (all) => {
        const addresses = slotAddresses('172.29.166.0/23', all).flatMap(({ blue, green }) => [blue, green]);
        expect(new Set(addresses).size).toBe(addresses.length);
        expect(addresses.length).toBe(2 * all.reduce((sum, { replicas }) => sum + replicas, 0));
        for (const address of addresses) {
          expect(number(address)).toBeGreaterThanOrEqual(number('172.29.167.0'));
          expect(number(address)).toBeLessThan(number('172.29.167.255'));
        }
      }),
    );
  });

  test('stay when a replica or a service joins', () => {
    const before = slotAddresses('172.29.166.0/23', [{ name: 'web', replicas: 2 }]);
    const after = slotAddresses('172.29.166.0/23', [
      { name: 'api', replicas: 2 },
      { name: 'web', replicas: 3 },
    ]);
    for (const address of before) expect(after).toContainEqual(address);
  });

  test('do not depend on the order of services', () => {
    fc.assert(
      fc.property(services, (all) => {
        expect(slotAddresses('172.29.166.0/23', all.toReversed())).toEqual(slotAddresses('172.29.166.0/23', all));
      }),
    );
  });

  test('are refused where there are more replicas than places', () => {
    expect(() => slotAddresses('10.9.8.128/26', [{ name: 'web', replicas: 16 }])).toThrow(/15 replicas/);
  });
});

describe('the network of an app among others', () => {
  const environment = (app: string) =>
    ({ app, docker: { addressPools: [{ base: '172.29.0.0/22', size: 24 }] } }) as unknown as Environment;
  const facts = (apps: Facts['apps']) => ({ networks: [], apps }) as unknown as Facts;

  test('no two apps of a host get the same, however their names fall', () => {
    const first = networkOf(environment('a'), facts({}));
    for (const name of ['b', 'c', 'd', 'e', 'f']) {
      const pools = [{ base: '172.29.0.0/20', size: 24 }];
      const wide = { ...environment(name), docker: { addressPools: pools } } as unknown as Environment;
      expect(networkOf(wide, facts({ a: { subnet: first, open: [] } }))).not.toBe(first);
    }
  });

  test('an app keeps the one it has', () => {
    expect(networkOf(environment('a'), facts({ a: { subnet: '172.29.0.0/23', open: [] } }))).toBe('172.29.0.0/23');
  });

  test('unless the pools have moved away from under it', () => {
    expect(networkOf(environment('a'), facts({ a: { subnet: '10.0.0.0/23', open: [] } }))).toMatch(/^172\.29\./);
  });
});
