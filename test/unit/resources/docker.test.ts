import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { dockerDaemonKind } from '#resources/docker-daemon';
import { dockerLoginKind } from '#resources/docker-login';
import { dockerNetworkKind } from '#resources/docker-network';

describe('daemon.json', () => {
  const config = fc.dictionary(fc.constantFrom('live-restore', 'log-driver', 'mtu', 'debug'), fc.jsonValue());
  const stateOf = (there: unknown) => ({ text: JSON.stringify(there), config: there as never });

  test('that holds what is declared differs in nothing, whatever else it holds', async () => {
    await fc.assert(
      fc.property(config, config, (ours, theirs) => {
        const props = dockerDaemonKind.props.parse({ config: ours });
        // As it would have come through JSON.
        const there = JSON.parse(JSON.stringify({ ...theirs, ...ours }));
        const wanted = { config: JSON.parse(JSON.stringify(props.config)) };
        expect(dockerDaemonKind.diff(stateOf(there), wanted)).toEqual([]);
      }),
    );
  });

  test('tells which keys need a restart and which a reload', () => {
    const props = dockerDaemonKind.props.parse({ config: { 'live-restore': true, 'log-driver': 'local', mtu: 1400 } });
    const [change, ...more] = dockerDaemonKind.diff(stateOf({ mtu: 1400, debug: true }), props);
    expect(more).toEqual([]);
    expect(change?.summary).toBe('log-driver (at a restart); live-restore (at a reload)');
    expect(change?.diff).toContain('+  "live-restore": true');
    expect(change?.diff).not.toContain('-  "debug"');
  });

  test('that is no JSON is a difference, not a crash', () => {
    const props = dockerDaemonKind.props.parse({ config: { debug: true } });
    expect(dockerDaemonKind.diff({ text: '{oops', config: undefined }, props)).toHaveLength(1);
  });
});

describe('a network', () => {
  const props = dockerNetworkKind.props.parse({
    name: 'shop',
    subnet: '172.29.5.0/24',
    gateway: '172.29.5.1',
    ipv6: { subnet: 'fd00:5::/64' },
    bridge: 'slip-shop',
  });
  const there = {
    id: 'x',
    driver: 'bridge',
    ranges: [
      { subnet: '172.29.5.0/24', gateway: '172.29.5.1' },
      { subnet: 'fd00:5::/64', gateway: 'fd00:5::1' },
    ],
    internal: false,
    options: { 'com.docker.network.bridge.name': 'slip-shop', 'com.docker.network.driver.mtu': '1400' },
  };

  test('as declared differs in nothing', () => {
    expect(dockerNetworkKind.diff(there, props)).toEqual([]);
  });

  test.each([
    [{ ...there, driver: 'macvlan' }, 'driver macvlan -> bridge'],
    [{ ...there, internal: true }, 'internal true -> false'],
    [{ ...there, ranges: there.ranges.slice(0, 1) }, 'subnet none -> fd00:5::/64'],
    [
      { ...there, ranges: [{ subnet: '172.29.5.0/24', gateway: '172.29.5.9' }, there.ranges[1]] },
      'gateway 172.29.5.9 -> 172.29.5.1',
    ],
    [{ ...there, options: {} }, 'com.docker.network.bridge.name unset -> slip-shop'],
  ])('that differs tells how', (state, summary) => {
    expect(dockerNetworkKind.diff(state as typeof there, props)).toEqual([{ summary }]);
  });

  test('has an interface name that the kernel takes', () => {
    expect(dockerNetworkKind.props.safeParse({ ...props, bridge: 'longer-than-fifteen' }).success).toBe(false);
  });
});

describe('a login', () => {
  const props = dockerLoginKind.props.parse({ registry: 'ghcr.io', username: 'ann', password: 'canary-4711' });

  test('that is stored as declared differs in nothing', () => {
    expect(dockerLoginKind.diff({ credentials: 'ann:canary-4711', mode: '0600' }, props)).toEqual([]);
  });

  test.each([
    [undefined, 'log in as ann'],
    [{ credentials: 'ann:old', mode: '0600' }, 'credentials'],
    [{ credentials: 'ann:canary-4711', mode: '0644' }, 'mode 0644 -> 0600'],
  ])('from %j changes %j', (state, summary) => {
    expect(dockerLoginKind.diff(state, props)).toEqual([{ summary }]);
  });

  test('shows its password nowhere', () => {
    const shown = [dockerLoginKind.footprint(props), dockerLoginKind.id(props), dockerLoginKind.diff(undefined, props)];
    expect(JSON.stringify(shown)).not.toContain('canary');
  });
});
