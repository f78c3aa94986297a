import { expect } from 'vitest';
import type { Declared } from '#resources/resource';
import type { Release } from '#sandbox/sandbox';
import type { OnHost, RunOptions } from './converge.ts';

/** The release that hosts of resource tests have: SLIPWAY_TEST_RELEASE=debian-12 runs the same tests on the older one. */
export const RELEASE = (process.env.SLIPWAY_TEST_RELEASE ?? 'debian-13') as Release;

/**
 * Check, apply, check, apply: the plan shows a difference, the apply makes it, the next plan is empty, and the next
 * apply changes nothing.
 */
export async function fourPhases(host: OnHost, resources: readonly Declared[], options?: RunOptions): Promise<void> {
  const planned = await host.plan(resources, options);
  expect(planned.error?.message).toBeUndefined();
  expect(planned.steps).not.toEqual([]);
  await converges(host, resources, options);
}

/** One apply makes it so, from whatever state, and the next changes nothing. */
export async function converges(host: OnHost, resources: readonly Declared[], options?: RunOptions): Promise<void> {
  expect((await host.up(resources, options)).error?.message).toBeUndefined();
  expect((await host.plan(resources, options)).steps).toEqual([]);
  const again = await host.up(resources, options);
  expect(again.error?.message).toBeUndefined();
  expect(again.events.map(({ type }) => type)).not.toContain('resource.changed');
}

/** What a script prints on the host, without the line break at its end. */
export async function says(host: OnHost, script: string): Promise<string> {
  return (await host.sh(`{ ${script}; } 2>&1`)).stdout.trimEnd();
}
