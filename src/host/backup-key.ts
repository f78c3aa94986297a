import { chmod, mkdtemp, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { hasKey, identityIn, readKey, recipientOf, writeKey } from '#backup/key';
import { escrowPath, keyPath, shownPath } from '#backup/places';
import { unseal } from '#backup/seal';
import { readSettings } from '#backup/settings';
import { type Held, openStore, type Store } from '#backup/store/store';
import { DeployError } from '#core/errors';
import type { BackupRequest, BackupSettings } from '#protocol/backup';
import type { EventBody } from '#protocol/event';
import type { Facts } from '#protocol/facts';
import { asText, readJson, replaceText } from '#release/durable';
import type { Host } from '#resources/resource';
import { appendLedger } from './ledger.ts';
import { createHost } from './machine.ts';

type Asked = Extract<BackupRequest, { verb: 'backup-key' }>;

interface Noted {
  /** ISO 8601. */
  readonly at: string;
  readonly by: string;
}

async function note(path: string, by: string): Promise<void> {
  await replaceText(path, asText({ at: new Date().toISOString(), by } satisfies Noted));
}

/** Shows the key, once: whoever asks again has to say so, since the first may not have been them. */
async function show(host: Host, { app, by, again }: Asked): Promise<string> {
  const key = (await hasKey(host, app)) ? await readKey(host, app) : undefined;
  if (key === undefined) {
    throw new DeployError('key-refused', `There is no key of ${app}'s backups on this host.`, {
      hint: '`deploy up <environment>` makes it; where a host before this one had it, `deploy backup key install <environment>`.',
    });
  }
  const shown = await readJson<Noted>(shownPath(app));
  if (shown !== undefined && again !== true) {
    throw new DeployError('key-refused', `The key was shown to ${shown.by} on ${shown.at.slice(0, 16)}Z.`, {
      hint: 'Try that copy with `deploy backup key verify <environment>`. Where it is lost, add `--again`.',
    });
  }
  // Before it is told: a connection that breaks here must not make it look as if nobody had seen it.
  await note(shownPath(app), by);
  return key;
}

function copyIn({ key = '' }: Asked): string {
  const identity = identityIn(key);
  if (identity !== undefined) return identity;
  throw new DeployError('key-refused', 'That is no key of backups.', {
    hint: 'It is one line that begins with AGE-SECRET-KEY-1, as `deploy backup key show` has printed it.',
  });
}

/** Opens a sealed object of a repository with the key in a file; resolves with its name, undefined where there is none. */
async function openAnObject(store: Store, key: string, folder: string): Promise<string | undefined> {
  for (const prefix of ['bases', 'wal']) {
    const newest = (await store.list(prefix)).at(-1);
    if (newest === undefined) continue;
    await store.fetch([newest.name], folder);
    await unseal(key, [join(folder, newest.name.slice(newest.name.lastIndexOf('/') + 1))], join(folder, 'opened'));
    return newest.name;
  }
  return undefined;
}

/** Opens with the key in a file what there is in every repository; rejects where it opens one of them not. */
async function openAll(host: Host, settings: BackupSettings, key: string, folder: string): Promise<readonly string[]> {
  const opened: string[] = [];
  for (const repository of settings.repositories) {
    const store = await openStore(host, settings, repository, key);
    const held = await store.look();
    if (held === 'foreign') {
      throw new DeployError('key-refused', `This key does not open ${store.title}.`, {
        hint: 'Look for another copy: the key of the host that has made those backups.',
      });
    }
    if (held === 'none') continue;
    opened.push(store.title);
    const object = await openAnObject(store, key, folder);
    if (object !== undefined) opened.push(`${object} in it`);
  }
  return opened;
}

/** Whether there are repositories and the host's own key opens none of them: it was put in the place of another one. */
async function isStranger(host: Host, settings: BackupSettings): Promise<boolean> {
  const standing: Held[] = [];
  for (const repository of settings.repositories) {
    standing.push(await (await openStore(host, settings, repository)).look());
  }
  return standing.includes('foreign') && !standing.includes('ours');
}

/** Does something with a copy of the key in a file that no disk ever holds. */
async function withCopy<T>(identity: string, act: (file: string, folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp('/run/slipway-key-');
  try {
    await chmod(folder, 0o700);
    const file = join(folder, 'copy');
    await writeKey(file, identity);
    return await act(file, folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function otherKey(copy: string, ours: string): DeployError {
  return new DeployError('key-refused', `This is another key: it opens what is sealed to ${copy}, not to ${ours}.`, {
    hint: 'Look for another copy, or see the key once more with `deploy backup key show <environment> --again`.',
  });
}

function replacedKey(): DeployError {
  return new DeployError('key-refused', 'This copy opens the backups, and the key on the host is another one.', {
    hint: 'Somebody has replaced it, and nothing is backed up meanwhile. Put the copy there with `deploy backup key install <environment>`.',
  });
}

/** Proves that a copy opens the backups: by opening them with it, not by comparing it. */
async function verify(host: Host, request: Asked): Promise<readonly string[]> {
  const { app, by } = request;
  const settings = await readSettings(app);
  const opened = await withCopy(copyIn(request), async (file, folder) => {
    if (await hasKey(host, app)) {
      const [copy, ours] = await Promise.all([recipientOf(host, app, file), recipientOf(host, app)]);
      if (copy !== ours) {
        const opens = settings === undefined ? [] : await openAll(host, settings, file, folder).catch(() => []);
        throw opens.length > 0 ? replacedKey() : otherKey(copy, ours);
      }
    }
    return settings === undefined ? [] : openAll(host, settings, file, folder);
  });
  if (opened.length === 0) {
    throw new DeployError('no-backups', 'There is nothing yet that a key could open.', {
      hint: 'Run `deploy up <environment>` first.',
    });
  }
  await note(escrowPath(app), by);
  return opened;
}

/** Puts a copy where there is no key, or one that opens nothing: on a host that takes the place of a lost one. */
async function install(host: Host, request: Asked): Promise<readonly string[]> {
  const { app, by } = request;
  const identity = copyIn(request);
  const there = (await hasKey(host, app)) ? await readKey(host, app) : undefined;
  if (there === identity) return [];
  const settings = await readSettings(app);
  // A bare host has neither the programs nor the addresses yet; `deploy up` opens the repositories then.
  const canOpen = settings !== undefined && (await host.has('restic')) && (await host.has('age'));
  if (there !== undefined && !(canOpen && (await isStranger(host, settings)))) {
    throw new DeployError('key-refused', 'Another key is on this host, and backups are made with it.', {
      hint: 'Nothing was changed. To read backups of another host, install its key on a host that has none.',
    });
  }
  const opened = canOpen ? await withCopy(identity, (file, folder) => openAll(host, settings, file, folder)) : [];
  // Whatever else it opens, nobody here can tell.
  if (there !== undefined) await rename(keyPath(app), `${keyPath(app)}.replaced`);
  await writeKey(keyPath(app), identity);
  if (opened.length > 0) await note(escrowPath(app), by);
  return opened;
}

/**
 * Serves a request about the key of an app's backups. Its events go to whoever asks and nowhere else: no journal, no
 * log. The ledger says who has had it shown or installed.
 */
export async function answerKey(request: Asked, facts: Facts, tell: (line: string) => void): Promise<number> {
  const started = performance.now();
  const { app, by, action } = request;
  const say = (body: EventBody) => tell(`${JSON.stringify({ at: new Date().toISOString(), ...body })}\n`);
  const host = createHost(facts, {
    say: (message) => say({ type: 'progress', message }),
    warn: (message, hint) => say({ type: 'warning', message, ...(hint === undefined ? {} : { hint }) }),
  });
  if (action === 'show') say({ type: 'backup.key', app, key: await show(host, request) });
  else {
    const opened = action === 'verify' ? await verify(host, request) : await install(host, request);
    say({ type: 'backup.key-proven', app, opened: [...opened] });
  }
  if (action !== 'verify') await appendLedger(app, { who: by, op: 'backup-key', args: { action }, result: 'done' });
  const duration = (performance.now() - started) / 1000;
  say({ type: 'operation.finished', changed: action === 'install' ? 1 : 0, unchanged: 0, removed: 0, duration });
  return 0;
}
