import { DeployError } from '#core/errors';
import type { Host } from '#resources/resource';
import { buildImage } from './build.ts';
import { findImage, type Image, pinnedName } from './images.ts';
import { loadImage } from './load.ts';
import { dropCargo, readCargo } from './staging.ts';

/** Makes an image that the laptop vouches for of what it has sent, unless the host has it under its name already. */
export async function vouchedImage(host: Host, app: string, reference: string, pin: string): Promise<Image> {
  const name = pinnedName(app, reference, pin);
  const there = await findImage(host, name);
  if (there !== undefined) return there;
  const cargo = await readCargo(pin);
  if (cargo?.kind === 'image') await loadImage(host, reference, cargo, name);
  if (cargo?.kind === 'context') await buildImage(host, reference, cargo, name);
  const image = await findImage(host, name);
  if (image === undefined) {
    throw new DeployError('image-not-loaded', `${reference} (${pin.slice(0, 19)}) is not on the host.`, {
      hint: 'Run the same command again: what the host lacks is sent.',
    });
  }
  await dropCargo(pin);
  return image;
}
