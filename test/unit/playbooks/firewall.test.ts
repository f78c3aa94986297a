import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Environment } from '#inventory/environment';
import { firewall, firewallControls, firewallWarnings, sshPort } from '#playbooks/harden/firewall';
import type { Facts } from '#protocol/facts';
import { environments, render, someFacts } from './environments.ts';

const [environment] = fc.sample(environments, { numRuns: 1, seed: 1 }) as [Environment];
const [facts] = fc.sample(someFacts, { numRuns: 1, seed: 1 }) as [Facts];

interface Given {
  readonly allowFrom?: 'any' | readonly string[];
  readonly port?: number | undefined;
  readonly clientAddress?: string;
  readonly sshPort?: number;
  readonly force?: boolean;
}

const context = ({ allowFrom = 'any', port, clientAddress = '198.51.100.7', sshPort = 22, force = false }: Given) => ({
  environment: {
    ...environment,
    ssh: { ...environment.ssh, allowFrom, port },
    firewall: { allow: [{ port: 8443, protocol: 'tcp', from: ['2001:db8::/32'], comment: undefined }] as const },
  },
  host: 'web',
  facts: { ...facts, clientAddress, sshPort },
  forceAllowFrom: force,
  render,
});

const sshRules = (given: Given) =>
  firewall(context(given))
    .filter(({ kind, props }) => kind === 'ufw-rule' && props['comment'] === 'ssh')
    .map(({ props }) => `${props['port']} from ${props['from']}`);

describe('SSH is let in', () => {
  const LIST = ['203.0.113.0/24', '2001:db8::/32'];

  test.each<[string, Given, readonly string[]]>([
    ['from anywhere', {}, ['22 from any']],
    [
      'from the list alone where that has this address',
      { allowFrom: ['198.51.100.0/24'] },
      ['22 from 198.51.100.0/24'],
    ],
    ['from this very address besides', { allowFrom: LIST }, [...LIST, '198.51.100.7'].map((from) => `22 from ${from}`)],
    [
      'from this address as it is, however sshd writes it',
      { allowFrom: LIST, clientAddress: '::ffff:198.51.100.7' },
      [...LIST, '198.51.100.7'].map((from) => `22 from ${from}`),
    ],
    [
      'over a link of its own, without the name of the interface',
      { allowFrom: LIST, clientAddress: 'fe80::1%eth0' },
      [...LIST, 'fe80::1'].map((from) => `22 from ${from}`),
    ],
    [
      'from the list alone where that is forced',
      { allowFrom: LIST, force: true },
      LIST.map((from) => `22 from ${from}`),
    ],
    ['at the port that it moves to, and no more where it was', { port: 2222 }, ['2222 from any']],
    ['at the port of this connection', { sshPort: 2200 }, ['2200 from any']],
  ])('%s', (_, given, rules) => {
    expect(sshRules(given)).toEqual(rules);
  });

  test('with a word about an address that the list does not have', () => {
    expect(firewallWarnings(context({}))).toEqual([]);
    expect(firewallWarnings(context({ allowFrom: ['198.51.100.7'] }))).toEqual([]);
    const [stays] = firewallWarnings(context({ allowFrom: LIST }));
    expect(stays?.message).toContain('198.51.100.7');
    expect(stays?.hint).toMatch(/`ssh\.allowFrom`.*--force-allow-from/);
    const [goes] = firewallWarnings(context({ allowFrom: LIST, force: true }));
    expect(goes?.message).toContain('the last one from there');
  });

  test('before the firewall is on, which is told that it may shut this address out only when forced', () => {
    for (const force of [false, true]) {
      const all = firewall(context({ allowFrom: LIST, force }));
      const at = all.findIndex(({ kind }) => kind === 'ufw');
      expect(all[at]?.props).toMatchObject({ sshPorts: [22], shutsOut: force });
      expect(all.slice(at).some(({ kind }) => kind === 'ufw-rule')).toBe(false);
    }
  });
});

test('the own table has a line for each source of what is declared, in words of its family', () => {
  const table = firewall(context({})).find(({ kind }) => kind === 'nft-table');
  const lines = String(table?.props['rules'])
    .split('\n')
    .map((line) => line.trim());
  expect(lines).toContain('meta l4proto tcp ct original proto-dst 443 return');
  expect(lines).toContain('meta l4proto tcp ct original proto-dst 8443 ip6 saddr 2001:db8::/32 return');
});

test('the own table is that of all apps on the host, since each of them writes the whole of it', () => {
  const mine = context({});
  const rule = { port: 9100, protocol: 'tcp' as const, from: '203.0.113.0/24' };
  const apps = { [mine.environment.app]: { open: [{ ...rule, port: 7777 }] }, other: { open: [rule] } };
  const given = { ...mine, facts: { ...mine.facts, apps } };
  const table = String(firewall(given).find(({ kind }) => kind === 'nft-table')?.props['rules']);
  expect(table).toContain('meta l4proto tcp ct original proto-dst 9100 ip saddr 203.0.113.0/24 return');
  expect(table).not.toContain('7777');
  const outside = firewallControls.find(({ id }) => id === 'outside-tcp4')?.check(given);
  expect(outside?.expect).toMatchObject({ within: expect.arrayContaining(['9100']) });
});

test('an audit expects outside what is declared, over the families that the host has', () => {
  fc.assert(
    fc.property(environments, someFacts, (environment, facts) => {
      const given = { environment, host: 'web', facts };
      const checks = firewallControls.flatMap((control) => control.check(given) ?? []);
      const outside = checks.filter(({ key }) => key.startsWith('open-'));
      expect(outside.map(({ key }) => key)).toEqual(['open-tcp4']);
      const [{ expect: expected }] = outside as [(typeof outside)[number]];
      const declared = environment.firewall.allow.filter(({ protocol }) => protocol === 'tcp').map(({ port }) => port);
      expect(expected).toEqual({ within: [sshPort(given), 80, 443, ...declared].map(String) });
    }),
    { numRuns: 20 },
  );
});
