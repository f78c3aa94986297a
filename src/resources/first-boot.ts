import * as z from 'zod';
import { DeployError } from '#core/errors';
import { lastLines } from '#core/run';
import { formatSeconds } from '#core/units';
import { defineKind, type Host } from '#resources/resource';

// What its generator leaves where it runs at all in this boot, and what it leaves when it is done.
const ENABLED = '/run/cloud-init/enabled';
const RESULT = '/run/cloud-init/result.json';

const props = z.strictObject({
  /** Seconds to wait for it. */
  patience: z.number().positive(),
});

interface BootState {
  readonly isBusy: boolean;
}

async function read(host: Host): Promise<BootState> {
  const [enabled, result] = await Promise.all([host.stat(ENABLED), host.stat(RESULT)]);
  if (enabled === undefined || result !== undefined || !(await host.has('cloud-init'))) return { isBusy: false };
  const { stdout } = await host.run(['cloud-init', 'status'], { timeout: 30 });
  return { isBusy: /^status: (?:running|not (?:run|started))/m.test(stdout) };
}

async function apply(host: Host, { patience }: { patience: number }): Promise<void> {
  host.say(`waiting for cloud-init, which still sets this image up; for at most ${formatSeconds(patience)}`);
  const output = await host.run(['cloud-init', 'status', '--wait'], { timeout: patience });
  if (output.timedOut) {
    throw new DeployError('first-boot-busy', `cloud-init still works after ${formatSeconds(patience)}.`, {
      hint: '`cloud-init status --long` on the host shows at what; let it end, or give it longer with `packages.wait` in the inventory.',
    });
  }
  // 2 stands for "done, with something to complain of", which newer versions tell apart (cloud-init status --help).
  if (output.exitCode !== 1) return;
  host.warn(
    `cloud-init ended with an error: ${lastLines(output)}`,
    '`cloud-init status --long` on the host says more.',
  );
}

/** The provider's own setup of an image at its first boot: over before anything else is touched. */
export const firstBootKind = defineKind({
  kind: 'first-boot',
  summary: "The provider's own setup of an image (cloud-init): over before anything else is touched.",
  props,
  id: () => 'cloud-init',
  read,
  diff: (state) => (state?.isBusy === true ? [{ summary: 'wait until it is done' }] : []),
  apply,
  footprint: () => ({}),
  remove: async () => undefined,
});
