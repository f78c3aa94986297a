import { DeployError } from '#core/errors';
import { readJson, replaceText } from '#release/durable';
import type { Host } from '#resources/resource';
import { escrowPath, keyPath } from './places.ts';

const IDENTITY = /^AGE-SECRET-KEY-1[0-9A-Z]+$/;

/** The key of an app's backups; undefined where the host has none yet. */
export async function readKey(host: Host, app: string): Promise<string | undefined> {
  return (await host.readFile(keyPath(app)))?.trim();
}

/** Makes the key where there is none. */
export async function ensureKey(host: Host, app: string): Promise<string> {
  const known = await readKey(host, app);
  if (known !== undefined) return known;
  const { stdout } = await host.must(['age-keygen']);
  const key = stdout.split('\n').find((line) => IDENTITY.test(line));
  if (key === undefined)
    throw new DeployError('internal', 'age-keygen printed no identity.', {
      hint: 'Look at `age-keygen` on the host.',
    });
  await replaceText(keyPath(app), `${key}\n`);
  return key;
}

/** The public half of a key, which objects are encrypted to. */
export async function recipientOf(host: Host, app: string): Promise<string> {
  const { stdout } = await host.must(['age-keygen', '-y', keyPath(app)]);
  return stdout.trim();
}

/** When somebody has proven to have a copy of the key (ISO 8601); undefined where nobody has. */
export async function readEscrow(app: string): Promise<string | undefined> {
  return (await readJson<{ readonly at: string }>(escrowPath(app)))?.at;
}
