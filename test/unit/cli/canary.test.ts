import { expect, test } from 'vitest';
import { type CanaryOptions, nextText, withCanary } from '#cli/canary';
import { paintFor } from '#cli/paint';
import type { Environment } from '#inventory/environment';

const environment = (release: Partial<Environment['release']> = {}, order?: 'stop-first') =>
  ({
    name: 'prod',
    services: { web: { name: 'web', order } },
    routes: [{ domain: 'shop.example.com', paths: [{ path: '/', service: 'web', port: 3000 }] }],
    release: { watch: 10, canary: [5], ...release },
  }) as unknown as Environment;

const steps = (options: CanaryOptions) => withCanary(environment(), options).release.canary;

test('the command line names other steps than the inventory, or none', () => {
  expect(steps({})).toEqual([5]);
  expect(steps({ canary: '10,50' })).toEqual([10, 50]);
  expect(steps({ canary: '1, 99' })).toEqual([1, 99]);
  expect(steps({ canary: 'none' })).toEqual([]);
});

test.each<[CanaryOptions, RegExp]>([
  [{ canary: '50,10' }, /goes from 50 to 10; each step is larger/],
  [{ canary: '10,100' }, /"100", which is no percentage from 1 to 99/],
  [{ canary: '0' }, /"0"/],
  [{ canary: '10%' }, /"10%"/],
  [{ canary: '' }, /""/],
  [{ canary: 'none', pause: true }, /--pause has no step/],
])('%o is refused', (options, why) => {
  expect(() => steps(options)).toThrow(why);
});

test('a canary that nobody would watch is refused, unless somebody does between the steps', () => {
  expect(() => withCanary(environment({ watch: 0 }), { canary: '10' })).toThrow(/Nobody would watch/);
  expect(withCanary(environment({ watch: 0 }), { canary: '10', pause: true }).release.canary).toEqual([10]);
});

test('what cannot run twice has no canary', () => {
  expect(() => withCanary(environment({ canary: [] }, 'stop-first'), { canary: '10' })).toThrow(/web cannot run twice/);
  expect(withCanary(environment({ canary: [] }, 'stop-first'), {}).release.canary).toEqual([]);
});

test('after the last step all clients come', () => {
  const paint = paintFor({ isTTY: false });
  const canary = { percent: 10, since: '', paused: true };
  expect(nextText('prod', { ...canary, next: 50 }, paint)).toContain(
    'canary promote prod  goes on to 50 % of the clients',
  );
  expect(nextText('prod', canary, paint)).toContain('gives it to all clients');
});
