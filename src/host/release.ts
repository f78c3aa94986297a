import { DeployError } from '#core/errors';
import type { ReleaseRequest } from '#protocol/plan';

/** Serves a request about an app's releases. */
export async function answerRelease(request: ReleaseRequest): Promise<number> {
  throw new DeployError('usage', `The runner does not know how to ${request.verb} yet.`, {
    hint: 'Rebuild Slipway, so that the laptop and the runner are of one version.',
  });
}
