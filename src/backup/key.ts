import { chmod } from 'node:fs/promises';
import { DeployError } from '#core/errors';
import { readJson, replaceText } from '#release/durable';
import type { Host } from '#resources/resource';
import { escrowPath, keyPath } from './places.ts';

const IDENTITY = /^AGE-SECRET-KEY-1[0-9A-Z]{20,}$/;

/** The age identity in a text, such as a copy that somebody kept with the comments around it; undefined without one. */
export function identityIn(text: string): string | undefined {
  const lines = text.split('\n').map((line) => line.trim());
  const found = lines.filter((line) => IDENTITY.test(line));
  return found.length === 1 ? found[0] : undefined;
}

/** Whether the host has the key of an app's backups; one that others may read is closed, and said. */
export async function hasKey(host: Host, app: string): Promise<boolean> {
  const path = keyPath(app);
  const state = await host.stat(path);
  if (state === undefined) return false;
  if (state.owner === 'root' && /^0[0-7]00$/.test(state.mode)) return true;
  await host.must(['chown', 'root:root', path]);
  await chmod(path, 0o600);
  host.warn(
    `The key of ${app}'s backups could be read by others (${state.mode} ${state.owner}). It is closed again.`,
    'Find out who has read it: whoever has it and reaches a repository can read all backups.',
  );
  return true;
}

/** The key of an app's backups; undefined where the host has none. */
export async function readKey(host: Host, app: string): Promise<string | undefined> {
  return identityIn((await host.readFile(keyPath(app))) ?? '');
}

/** Writes a key that is to open an app's backups. */
export async function writeKey(path: string, identity: string): Promise<void> {
  await replaceText(path, `${identity}\n`);
}

/** Makes a new key in a file. */
export async function makeKey(host: Host, path: string): Promise<void> {
  const { stdout } = await host.must(['age-keygen']);
  const identity = identityIn(stdout);
  if (identity === undefined) {
    throw new DeployError('internal', 'age-keygen printed no identity.', { hint: 'Look at `age-keygen` on the host.' });
  }
  await writeKey(path, identity);
}

/** The public half of an app's key, which objects are encrypted to; or of the key in another file. */
export async function recipientOf(host: Host, app: string, path: string = keyPath(app)): Promise<string> {
  const { exitCode, stdout } = await host.run(['age-keygen', '-y', path]);
  if (exitCode === 0) return stdout.trim();
  throw new DeployError('key-refused', `The key of ${app}'s backups is not on this host, or is no key.`, {
    hint: 'Put the copy of it there with `deploy backup key install <environment>`.',
  });
}

/** When somebody has proven to have a copy of the key (ISO 8601); undefined where nobody has. */
export async function readEscrow(app: string): Promise<string | undefined> {
  return (await readJson<{ readonly at: string }>(escrowPath(app)))?.at;
}
