// Runs on a sandbox host, bundled: does one thing with the stores of an app and prints what came of it as JSON.

import { readFileSync } from 'node:fs';
import { prepareStores } from '#backup/store/prepare';
import { openStores, type Store } from '#backup/store/store';
import { asDeployError } from '#core/errors';
import { readFacts } from '#host/facts';
import { createHost } from '#host/machine';
import type { BackupSettings } from '#protocol/backup';

/** What is to be done: a function of a store with its arguments, or `prepare`. */
export interface Order {
  readonly settings: BackupSettings;
  readonly store: 'local' | 'offsite';
  readonly act:
    | 'prepare'
    | 'look'
    | 'snapshots'
    | 'put'
    | 'list'
    | 'fetch'
    | 'remove'
    | 'restic'
    | 'copyFrom'
    | 'title';
  readonly args: readonly unknown[];
}

/** What came of it. */
export interface Outcome {
  readonly value?: unknown;
  readonly error?: { readonly code: string; readonly message: string; readonly hint: string };
  readonly warnings: readonly string[];
}

const { settings, store: name, act, args } = JSON.parse(readFileSync(0, 'utf8')) as Order;
const warnings: string[] = [];
const host = createHost(await readFacts(), {
  say: () => undefined,
  warn: (message, hint) => warnings.push(`${message}\n${hint ?? ''}`),
});

async function carryOut(): Promise<unknown> {
  if (act === 'prepare') {
    const { stores, failures } = await prepareStores(host, settings);
    if (failures[0] !== undefined) throw failures[0];
    return stores.map((store) => store.title);
  }
  const stores = await openStores(host, settings);
  const store = stores.find((one) => one.name === name);
  if (store === undefined) throw new Error(`no store ${name}`);
  if (act === 'title') return store.title;
  if (act === 'copyFrom') {
    const other = stores.find((one) => one.name !== name) as Store;
    return store.copyFrom(other, args[0] as readonly string[]);
  }
  return (store[act] as (...all: readonly unknown[]) => Promise<unknown>)(...args);
}

const outcome = await carryOut().then(
  (value) => ({ value }),
  (thrown: unknown) => {
    const { code, message, hint } = asDeployError(thrown);
    return { error: { code, message, hint } };
  },
);
console.log(JSON.stringify({ ...outcome, warnings }));
