import { mkdir, readdir, readlink, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { replaceText, syncFolder } from './durable.ts';
import { otherSlot, type Slot } from './slots.ts';

/**
 * The folder of the files that nginx asks for at every request, so what they say is what is so. Its workers need search
 * permission on the way and read nothing.
 */
export function flagsOf(app: string): string {
  return join('/var/lib/slipway/slots', app);
}

/** nginx numbers clients from 0 to 99. */
const CLIENTS = 100;

/**
 * Sends this share of all clients, in percent, to the slot that is not live; 0 ends the canary. A client that was let in
 * stays in as the share grows. The change is one rename, and the flip of the live slot ends it in the same moment.
 */
export async function setCanary(app: string, live: Slot, percent: number): Promise<void> {
  const folder = flagsOf(app);
  const link = join(folder, 'canary');
  await mkdir(folder, { recursive: true, mode: 0o755 });
  if (percent > 0) {
    const name = `canary-${otherSlot(live)}-${percent}`;
    await rm(join(folder, name), { recursive: true, force: true });
    await mkdir(join(folder, name), { mode: 0o755 });
    for (let number = 0; number < Math.min(percent, CLIENTS); number += 1) {
      await writeFile(join(folder, name, `${live}-${number}`), '', { mode: 0o644 });
    }
    await rm(`${link}.next`, { force: true });
    await symlink(name, `${link}.next`);
    await rename(`${link}.next`, link);
  } else {
    await rm(link, { force: true });
  }
  await syncFolder(folder);
  const named = await readlink(link).catch(() => undefined);
  const left = (await readdir(folder)).filter((name) => name.startsWith('canary-') && name !== named);
  for (const name of left) await rm(join(folder, name), { recursive: true, force: true });
}

/**
 * Tells nginx whether the slot that is not live runs: while it does, a file that a page of its release asks for is looked
 * for there too.
 */
export async function setWarm(app: string, warm: boolean): Promise<void> {
  const flag = join(flagsOf(app), 'warm');
  if (warm) {
    await mkdir(flagsOf(app), { recursive: true, mode: 0o755 });
    return replaceText(flag, '', 0o644);
  }
  await rm(flag, { force: true });
}
