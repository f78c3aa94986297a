import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { run } from '#core/run';
import { list } from '#sandbox/sandbox';
import { deploy } from '#test/support/cli';

const forwarding = () => readFileSync('/proc/sys/net/ipv4/ip_forward', 'utf8');

test('the last host takes bridge, rules, forwarding and state with it; the cache stays', async (context) => {
  // Whoever is trying things out keeps what stands.
  const standing = (await list()).map(({ name }) => name).filter((name) => name !== 'internet');
  context.skip(standing.length > 0, `the sandbox hosts ${standing.join(', ')} stand`);

  expect((await deploy(['sandbox', 'down'])).code).toBe(0);
  const before = forwarding();
  expect((await deploy(['sandbox', 'up', 'e2e-last', '--apt-cache'])).code).toBe(0);
  expect((await run(['ip', 'link', 'show', 'slipway0'])).exitCode).toBe(0);

  expect((await deploy(['sandbox', 'down'])).code).toBe(0);
  expect((await run(['ip', 'link', 'show', 'slipway0'])).exitCode).not.toBe(0);
  expect((await run(['nft', 'list', 'tables'])).stdout).not.toContain('slipway_sandbox');
  expect(forwarding()).toBe(before);
  expect(existsSync('/var/lib/slipway-sandbox')).toBe(false);
  expect((await run(['pgrep', '--full', 'systemd-nspawn.*e2e-last'])).exitCode).toBe(1);
  expect(readdirSync('/var/cache/slipway/sandbox').filter((name) => name.endsWith('.lock'))).toEqual([]);
  expect(readdirSync('/var/cache/slipway/sandbox')).not.toEqual([]);
});
