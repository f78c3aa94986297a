import { randomInt } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { CertificateRequest } from '#resources/certificate-terms';
import type { Host } from '#resources/resource';
import { tryToObtain } from './obtain.ts';
import { renewalTime } from './renewal.ts';
import { servedFingerprint } from './served.ts';
import { openStore, type Store } from './store.ts';
import { type StoredCertificate, stateAt } from './stored.ts';

/** One certificate in a renewal report. */
export interface RenewEntry {
  readonly domain: string;
  /** `waiting`: an earlier attempt failed, and the next is not due yet. */
  readonly outcome: 'renewed' | 'kept' | 'waiting' | 'failed';
  /** ISO 8601. */
  readonly notAfter: string;
  /** When it is renewed, or tried again; ISO 8601. */
  readonly next: string;
  /** Why the last attempt failed. */
  readonly error?: { readonly code: string; readonly message: string; readonly hint: string };
  /** Whether nginx serves this very certificate; `none` where it serves nothing for the domain. */
  readonly served: 'current' | 'other' | 'none';
}

/** What a renewal run found and did. */
export interface RenewReport {
  /** ISO 8601. */
  readonly at: string;
  readonly certificates: readonly RenewEntry[];
  readonly reloaded: boolean;
  /** Why nginx could not be reloaded. */
  readonly reloadError?: string;
}

export interface RenewOptions {
  /** Seconds over which hosts that start together spread their requests; only waited where something is due. */
  readonly spread?: number;
  /** Keeps other operations off the host; taken after the wait, and only where something is to be done. */
  readonly lock?: () => Promise<AsyncDisposable>;
  readonly store?: Store;
}

// lego's figure for a run that nobody watches.
const SPREAD = 8 * 60;

interface Renewable {
  readonly domain: string;
  readonly certificate: StoredCertificate;
  readonly request: CertificateRequest;
}

type Unserved = Omit<RenewEntry, 'served'>;

function iso(time: number): string {
  return new Date(time).toISOString();
}

/** The certificates that the host can renew by itself: those it knows the terms of. */
async function renewables(store: Store): Promise<readonly Renewable[]> {
  const found = await Promise.all(
    (await store.domains()).map(async (domain) => {
      const certificate = await store.read(domain);
      if (certificate?.request === undefined) return undefined;
      return { domain, certificate, request: certificate.request };
    }),
  );
  return found.filter((each) => each !== undefined);
}

async function isDue(store: Store, { domain, certificate, request }: Renewable): Promise<boolean> {
  const failure = await store.readFailure(domain);
  if (failure !== undefined && failure.next > Date.now()) return false;
  const { age } = stateAt(certificate, failure, request, Date.now());
  return age === 'due' || age === 'ended';
}

async function look(store: Store, { domain, certificate, request }: Renewable): Promise<Unserved> {
  const notAfter = iso(certificate.notAfter);
  const due = renewalTime(certificate, request);
  const failure = await store.readFailure(domain);
  if (failure === undefined || due > Date.now()) return { domain, outcome: 'kept', notAfter, next: iso(due) };
  const { code, message, hint, next } = failure;
  return { domain, outcome: 'waiting', notAfter, next: iso(next), error: { code, message, hint } };
}

async function renewOne(host: Host, store: Store, renewable: Renewable): Promise<Unserved> {
  const { domain, request } = renewable;
  const error = await tryToObtain(host, store, request);
  const current = (await store.read(domain)) ?? renewable.certificate;
  const notAfter = iso(current.notAfter);
  if (error === undefined) return { domain, outcome: 'renewed', notAfter, next: iso(renewalTime(current, request)) };
  const { code, message, hint } = error;
  host.warn(`${message} The certificate in use is good until ${notAfter}.`, hint);
  const next = iso((await store.readFailure(domain))?.next ?? Date.now());
  return { domain, outcome: 'failed', notAfter, next, error: { code, message, hint } };
}

async function withServed(store: Store, entries: readonly Unserved[]): Promise<readonly RenewEntry[]> {
  return await Promise.all(
    entries.map(async (entry) => {
      const [stored, served] = await Promise.all([store.read(entry.domain), servedFingerprint(entry.domain)]);
      return { ...entry, served: served === undefined ? 'none' : served === stored?.fingerprint ? 'current' : 'other' };
    }),
  );
}

// A reload is done when the new workers have taken over; until then the old ones may still answer.
async function untilServed(store: Store, entries: readonly Unserved[]): Promise<readonly RenewEntry[]> {
  for (let attempt = 0; ; attempt += 1) {
    const served = await withServed(store, entries);
    if (attempt === 20 || served.every((entry) => entry.served !== 'other')) return served;
    await sleep(500);
  }
}

/** Reloads nginx where it does not serve what is in use: after a renewal, or after a run that was killed before this. */
async function serve(host: Host, store: Store, entries: readonly Unserved[]): Promise<Omit<RenewReport, 'at'>> {
  const before = await withServed(store, entries);
  if (before.every(({ served }) => served !== 'other')) return { certificates: before, reloaded: false };
  const reload = await host.run(['systemctl', 'reload', 'nginx']);
  if (reload.exitCode !== 0) {
    const reloadError = reload.stderr.trim() === '' ? 'systemctl reload nginx failed' : reload.stderr.trim();
    host.warn(`nginx could not be reloaded: ${reloadError}`, 'Run `nginx -t` on the host and mend what it names.');
    return { certificates: before, reloaded: false, reloadError };
  }
  const certificates = await untilServed(store, entries);
  for (const { domain } of certificates.filter(({ served }) => served === 'other')) {
    host.warn(
      `nginx serves another certificate for ${domain} than the one in use.`,
      `Look with \`nginx -T\` on the host for a site of ${domain} that names other files.`,
    );
  }
  return { certificates, reloaded: true };
}

/**
 * Renews every certificate on this host that has come of age, each on the terms it was asked for with, and reloads nginx
 * only where it serves something else. Never rejects for a certificate's sake: what failed stands in the report, and the
 * certificate in use stays.
 */
export async function renewDue(host: Host, options: RenewOptions = {}): Promise<RenewReport> {
  const store = options.store ?? openStore();
  const due = new Set<string>();
  for (const each of await renewables(store)) if (await isDue(store, each)) due.add(each.domain);
  const spread = options.spread ?? (process.stderr.isTTY ? 0 : SPREAD);
  if (due.size > 0 && spread > 0) {
    const seconds = randomInt(spread);
    host.say(`waiting ${seconds} s, so that not all hosts ask at once`);
    await sleep(seconds * 1000);
  }
  await using _lock = due.size > 0 ? await options.lock?.() : undefined;
  const entries: Unserved[] = [];
  // Looked at again, since another run may have renewed it during the wait.
  for (const each of await renewables(store)) {
    const renews = due.has(each.domain) && (await isDue(store, each));
    entries.push(renews ? await renewOne(host, store, each) : await look(store, each));
  }
  return { at: iso(Date.now()), ...(await serve(host, store, entries)) };
}
