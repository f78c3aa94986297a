import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { contains, parseRange } from '#core/ranges';
import { ufwKind } from '#resources/ufw';
import { jumpRepair, missingInKernel } from '#resources/ufw-kernel';
import { ufwRuleKind } from '#resources/ufw-rule';
import { letsIn, parseRules, parseSettings, type Rule, sameSource } from '#resources/ufw-rules';

// As ufw 0.36.2 writes them.
const V4 = `*filter
### RULES ###

### tuple ### allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 in comment=736c69707761793a737368
-A ufw-user-input -p tcp --dport 22 -j ACCEPT

### tuple ### limit_log any 2222 0.0.0.0/0 any 10.9.8.0/24 in_eth0
### tuple ### allow tcp 80,443 0.0.0.0/0 any 0.0.0.0/0 Nginx%20Full - in
### tuple ### route:deny tcp 5432 0.0.0.0/0 any 0.0.0.0/0 in
### END RULES ###
`;

describe('ufw on file', () => {
  test('is read with its comments, profiles, interfaces and routes', () => {
    const rules = parseRules(V4, false);
    expect(rules).toHaveLength(4);
    expect(rules[0]).toEqual({
      action: 'allow',
      route: false,
      protocol: 'tcp',
      port: '22',
      to: '0.0.0.0/0',
      fromPort: 'any',
      from: '0.0.0.0/0',
      direction: 'in',
      application: false,
      comment: 'slipway:ssh',
      v6: false,
    });
    expect(rules[1]).toMatchObject({ action: 'limit', protocol: 'any', from: '10.9.8.0/24', direction: 'in_eth0' });
    expect(rules[2]).toMatchObject({ application: true, port: '80,443', direction: 'in' });
    expect(rules[3]).toMatchObject({ route: true, action: 'deny' });
  });

  test('has its settings quoted or not', () => {
    expect(parseSettings('# IPV6=no\nIPV6="yes"\nENABLED=no\nLOGLEVEL=low # x\n')).toEqual({
      IPV6: 'yes',
      ENABLED: 'no',
      LOGLEVEL: 'low',
    });
  });
});

describe('a range', () => {
  test.each([
    ['10.9.8.7/24', '10.9.8.0/24', true],
    ['10.9.8.7', '10.9.8.7/32', true],
    ['fd00::1/8', 'fd00:0:0:0::/8', true],
    ['2001:db8::0:1', '2001:0db8:0000::1', true],
    ['::ffff:192.0.2.1', '::ffff:c000:201', true],
    ['10.9.8.0/24', '10.9.8.0/25', false],
    ['0.0.0.0/0', '::/0', true],
    ['0.0.0.0/0', '10.0.0.0/8', false],
  ])('%s and %s are the same: %j', (one, other, same) => {
    expect(sameSource(one, other)).toBe(same);
  });

  test.each(['', '10.0.0', '10.0.0.0/33', 'fd00::/129', '10.0.0.0/x', 'host.example.com', '10.0.0.0/'])(
    '%j is none',
    (text) => {
      expect(parseRange(text)).toBeUndefined();
    },
  );

  test('holds every address it was made from', async () => {
    const bits = fc.tuple(fc.ipV4(), fc.nat(32));
    await fc.assert(
      fc.property(bits, ([address, length]) => {
        const [outer, inner] = [parseRange(`${address}/${length}`), parseRange(address)];
        expect(outer !== undefined && inner !== undefined && contains(outer, inner)).toBe(true);
      }),
    );
    await fc.assert(
      fc.property(fc.ipV6(), fc.nat(128), (address, length) => {
        const [outer, inner] = [parseRange(`${address}/${length}`), parseRange(address)];
        expect(outer !== undefined && inner !== undefined && contains(outer, inner)).toBe(true);
      }),
    );
  });
});

function rule(changes: Partial<Rule> = {}): Rule {
  return {
    action: 'allow',
    route: false,
    protocol: 'tcp',
    port: '22',
    to: '0.0.0.0/0',
    fromPort: 'any',
    from: '0.0.0.0/0',
    direction: 'in',
    application: false,
    comment: '',
    v6: false,
    ...changes,
  };
}

describe('whether SSH is let in', () => {
  test.each([
    ['by a rule for all', [rule()], true],
    ['by a limit', [rule({ action: 'limit' })], true],
    ['by a profile', [rule({ application: true })], true],
    ['by a list of ports', [rule({ port: '20:25,80' })], true],
    ['by any protocol', [rule({ protocol: 'any' })], true],
    ['by a network of the client', [rule({ from: '203.0.113.0/24' })], true],
    ['not from another network', [rule({ from: '198.51.100.0/24' })], false],
    ['not after a deny', [rule({ action: 'deny', from: '203.0.113.5' }), rule()], false],
    ['not by a route', [rule({ route: true })], false],
    ['not over UDP', [rule({ protocol: 'udp' })], false],
    ['not by one interface alone', [rule({ direction: 'in_eth1' })], false],
    ['not by nothing', [], false],
  ])('%s', (_, rules, expected) => {
    expect(letsIn(rules, 22, '203.0.113.5')).toBe(expected);
  });
});

describe('a rule', () => {
  const wanted = fc.record({
    port: fc.integer({ min: 1, max: 65_535 }),
    protocol: fc.constantFrom('tcp' as const, 'udp' as const),
    action: fc.constantFrom('allow' as const, 'limit' as const, 'deny' as const),
    from: fc.oneof(fc.constant('any'), fc.ipV4(), fc.ipV6()),
  });
  const ufw = { rules: [], settings: {}, ipv6: true };

  test('that is there as declared differs in nothing', async () => {
    await fc.assert(
      fc.property(wanted, (input) => {
        const props = ufwRuleKind.props.parse(input);
        const families = input.from === 'any' ? [false, true] : [input.from.includes(':')];
        const same = families.map((v6) =>
          rule({ ...input, port: String(input.port), v6, comment: `slipway:${input.port}/${input.protocol}` }),
        );
        expect(ufwRuleKind.diff({ ufw, same, families }, props)).toEqual([]);
      }),
    );
  });

  const props = ufwRuleKind.props.parse({ port: 22, comment: 'ssh' });
  const families = [false, true];
  const ours = { comment: 'slipway:ssh' };

  test.each([
    ['missing over IPv6', [rule(ours)], ['allow 22/tcp from any (IPv6)']],
    ['served by a foreign one', [rule(ours), rule({ v6: true, comment: 'mine' })], []],
    ['served by a foreign limit', [rule({ action: 'limit' }), rule({ action: 'limit', v6: true })], []],
    ['opposed by a foreign one', [rule({ action: 'deny' })], ['allow 22/tcp from any']],
    [
      'of another action',
      [rule({ ...ours, action: 'limit' }), rule({ ...ours, v6: true })],
      ['limit -> allow 22/tcp from any'],
    ],
    [
      'of another comment',
      [rule({ comment: 'slipway:old' }), rule({ ...ours, v6: true })],
      ['comment slipway:old -> slipway:ssh'],
    ],
  ])('%s', (_, same, summaries) => {
    expect(ufwRuleKind.diff({ ufw, same, families }, props).map(({ summary }) => summary)).toEqual(summaries);
  });

  test.each([{ port: 0 }, { port: 22, from: 'office' }, { port: 22, comment: "it's" }, { port: 22, protocol: 'icmp' }])(
    'refuses %j',
    (input) => {
      expect(ufwRuleKind.props.safeParse(input).success).toBe(false);
    },
  );
});

describe('the firewall', () => {
  const props = ufwKind.props.parse({});
  const settings = {
    ENABLED: 'yes',
    IPV6: 'yes',
    LOGLEVEL: 'low',
    DEFAULT_INPUT_POLICY: 'DROP',
    DEFAULT_OUTPUT_POLICY: 'ACCEPT',
    DEFAULT_FORWARD_POLICY: 'DROP',
  };
  const state = { ufw: { rules: [], settings, ipv6: true }, boot: true, missing: [] };

  test('as declared differs in nothing', () => {
    expect(ufwKind.diff(state, props)).toEqual([]);
  });

  test.each([
    [{ ENABLED: 'no' }, 'enable'],
    [{ IPV6: 'no' }, 'IPv6 no -> yes'],
    [{ LOGLEVEL: 'off' }, 'logging off -> low'],
    [{ DEFAULT_INPUT_POLICY: 'ACCEPT' }, 'incoming ACCEPT -> DROP'],
  ])('with %j says %j', (changed, summary) => {
    const ufw = { ...state.ufw, settings: { ...settings, ...changed } };
    expect(ufwKind.diff({ ...state, ufw }, props)).toEqual([{ summary }]);
  });

  test('that is enabled but not in the kernel is loaded again', () => {
    expect(ufwKind.diff({ ...state, missing: ['no IPv4 chains in the kernel'] }, props)).toEqual([
      { summary: 'reload: no IPv4 chains in the kernel' },
    ]);
  });

  const jumps = ['INPUT', 'OUTPUT', 'FORWARD'].flatMap((chain) =>
    ['before-logging', 'before', 'after', 'after-logging', 'reject', 'track'].map(
      (stage) => `-A ${chain} -j ufw-${stage}-${chain.toLowerCase()}`,
    ),
  );
  const rule = '-A ufw-user-input -p tcp -m tcp --dport 22 -j ACCEPT';
  const saved = ['*filter', ':INPUT DROP [0:0]', ':ufw-before-logging-input - [0:0]', ...jumps, rule, ''].join('\n');

  test.each([
    [saved, []],
    [saved.replace(/-A ufw-user.*\n/, ''), ['0 of 1 IPv4 rules in the kernel']],
    ['*filter\n:INPUT ACCEPT [0:0]\n', ['IPv4 packets do not pass through it']],
    [saved.replace(`${jumps[7]}\n`, ''), ['IPv4 packets do not pass through it']],
  ])('in the kernel is told from what iptables saves', (kernel, missing) => {
    expect(missingInKernel(kernel, V4, false)).toEqual(missing);
  });

  test('has its jumps brought back where its chains lingered without them', () => {
    expect(jumpRepair(saved, false)).toBeUndefined();
    expect(jumpRepair('*filter\n:INPUT DROP [0:0]\n', false)).toBeUndefined();
    const repair = jumpRepair(saved.replace(`${jumps[1]}\n`, ''), false)?.split('\n') ?? [];
    expect(repair.filter((line) => line.startsWith('-A'))).toEqual(jumps.slice(0, 6));
    expect(repair.filter((line) => line.startsWith('-D'))).toHaveLength(5);
  });
});
