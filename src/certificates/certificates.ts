import { randomInt } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { asDeployError, DeployError } from '#core/errors';
import type { Host } from '#resources/resource';
import { preflight } from './preflight.ts';
import { AcmeProblem, explain } from './problem.ts';
import { type Failure, nextFailure, renewalTime } from './renewal.ts';
import { servedFingerprint } from './served.ts';
import { openStore, type Store } from './store.ts';
import { type CertificateRequest, type CertificateState, reasons } from './stored.ts';
import { sweepTokens, webrootSolver } from './webroot.ts';

export type { CertificateRequest } from './stored.ts';

/** What became of a wish for a certificate. */
export interface Ensured {
  /** `postponed`: it is due and could not be renewed yet, but the one in use is still good. */
  readonly outcome: 'issued' | 'kept' | 'postponed';
  readonly domain: string;
  /** ISO 8601. */
  readonly notAfter: string;
  /** Why it was postponed. */
  readonly failure?: Failure;
}

/** All that is known of a domain's certificate right now. */
export async function readState(store: Store, domain: string): Promise<CertificateState> {
  const [certificate, failure] = await Promise.all([store.read(domain), store.readFailure(domain)]);
  return { certificate, failure, now: Date.now() };
}

function iso(time: number): string {
  return new Date(time).toISOString();
}

function nameOf(request: CertificateRequest): string {
  return request.domains.join(', ');
}

/** What may explain from the host's own side that an authority could not reach it. */
async function firewallHint(host: Host): Promise<string | undefined> {
  const enabled = /^ENABLED=yes$/m.test((await host.readFile('/etc/ufw/ufw.conf')) ?? '');
  if (!enabled) return undefined;
  const rules = (await host.readFile('/etc/ufw/user.rules')) ?? '';
  const open =
    /^### tuple ### allow (tcp|any) (\S*,)?80(,\S*)? /m.test(rules) || /^### tuple ### allow any any /m.test(rules);
  if (open || /^### tuple ### allow .* Nginx/m.test(rules)) return undefined;
  return 'ufw is on and does not allow port 80: run `ufw allow 80/tcp` on the host, or let the playbook `proxy` do it.';
}

async function explainHere(host: Host, request: CertificateRequest, error: unknown): Promise<DeployError> {
  const explained = explain(`No certificate for ${nameOf(request)} from ${new URL(request.directory).host}`, error);
  const unreachable = error instanceof AcmeProblem && error.problem.type === 'connection';
  const hint = unreachable ? await firewallHint(host) : undefined;
  return hint === undefined ? explained : new DeployError(explained.code, explained.message, { hint, cause: error });
}

/** Proves control, asks the authority and puts what it gives into use. */
async function obtain(host: Host, store: Store, request: CertificateRequest): Promise<void> {
  const domain = request.domains[0] ?? '';
  const solver = webrootSolver();
  await sweepTokens(Date.now());
  if (request.preflight !== 'skip') {
    host.say(`Checking that ${nameOf(request)} lead${request.domains.length === 1 ? 's' : ''} to this host`);
    await preflight(request.domains, host.facts.addresses, solver, host.warn).catch((error: unknown) => {
      if (request.preflight !== 'warn' || !(error instanceof DeployError)) throw error;
      host.warn(error.message, error.hint);
    });
  }
  host.say(`Asking ${new URL(request.directory).host} for a certificate for ${nameOf(request)}`);
  const { issue } = await import('#certificates/acme');
  const { key, chain } = await issue({
    authority: { directory: request.directory, ca: request.ca },
    domains: request.domains,
    email: request.email,
    account: await store.readAccount(request.directory),
    pending: await store.readOrder(domain),
    solver,
    keepAccount: (registered) => store.writeAccount(request.directory, registered),
    keepOrder: (order) => store.writeOrder(domain, order),
  });
  await store.install(request, key, chain, Date.now());
  await store.writeOrder(domain, undefined);
  await store.writeFailure(domain, undefined);
}

// What an authority has forbidden until later is not asked for again, however often a person runs `deploy up`.
function stillForbidden(failure: Failure | undefined, now: number): DeployError | undefined {
  if (failure?.notBefore === undefined || failure.notBefore <= now) return undefined;
  return new DeployError(
    'certificate-rate-limited',
    `${failure.message} It is not asked again before ${iso(failure.notBefore)}.`,
    {
      hint: failure.hint,
    },
  );
}

async function tryToObtain(
  host: Host,
  store: Store,
  request: CertificateRequest,
  { failure, now }: CertificateState,
): Promise<DeployError | undefined> {
  const forbidden = stillForbidden(failure, now);
  if (forbidden !== undefined) return forbidden;
  try {
    await obtain(host, store, request);
    return undefined;
  } catch (error) {
    const explained =
      error instanceof DeployError ? error : await explainHere(host, request, error).catch(asDeployError);
    const retryAfter = error instanceof AcmeProblem ? error.retryAfter : undefined;
    await store.writeFailure(request.domains[0] ?? '', nextFailure(failure, explained, Date.now(), retryAfter));
    return explained;
  }
}

/**
 * Sees to it that the host has a good certificate for these names. One that is merely due and cannot be renewed yet is
 * kept and tried again later, with a warning; where there is none to keep, this rejects. The one in use is never
 * touched before a better one is complete. Reloading nginx is left to the caller.
 */
export async function ensureCertificate(
  host: Host,
  request: CertificateRequest,
  store: Store = openStore(),
): Promise<Ensured> {
  const domain = request.domains[0] ?? '';
  const state = await readState(store, domain);
  const found = reasons(state, request);
  const asks = found.filter(({ does }) => does !== 'mend');
  if (asks.length === 0 && state.certificate !== undefined) {
    if (found.length > 0) await store.mend(request);
    return { outcome: 'kept', domain, notAfter: iso(state.certificate.notAfter) };
  }
  const error = await tryToObtain(host, store, request, state);
  const after = await readState(store, domain);
  if (error === undefined && after.certificate !== undefined) {
    return { outcome: 'issued', domain, notAfter: iso(after.certificate.notAfter) };
  }
  const failed = error ?? new DeployError('internal', `The certificate for ${domain} is gone.`, { hint: 'Report it.' });
  if (after.certificate === undefined || asks.some(({ does }) => does === 'issue')) throw failed;
  host.warn(
    `${failed.message} The certificate in use is good until ${iso(after.certificate.notAfter)}; the renewal is tried again.`,
    failed.hint,
  );
  return {
    outcome: 'postponed',
    domain,
    notAfter: iso(after.certificate.notAfter),
    ...(after.failure === undefined ? {} : { failure: after.failure }),
  };
}

/** One certificate in a renewal report. */
export interface RenewEntry {
  readonly domain: string;
  /** `waiting`: an earlier attempt failed, and the next is not due yet. */
  readonly outcome: 'renewed' | 'kept' | 'waiting' | 'failed';
  /** ISO 8601. */
  readonly notAfter: string;
  /** When it is renewed, or tried again; ISO 8601. */
  readonly next: string;
  readonly error?: { readonly code: string; readonly message: string; readonly hint: string };
  /** Whether nginx serves this very certificate; `none` where it serves nothing for the domain. */
  readonly served: 'current' | 'other' | 'none';
}

/** What a renewal run found and did. */
export interface RenewReport {
  readonly at: string;
  readonly certificates: readonly RenewEntry[];
  readonly reloaded: boolean;
  /** Why nginx could not be reloaded. */
  readonly reloadError?: string;
}

export interface RenewOptions {
  /** Seconds over which hosts that start together spread their requests; only waited where something is due. */
  readonly spread?: number;
  /** Keeps other operations off the host; taken after the wait, and only where something is due. */
  readonly lock?: () => Promise<AsyncDisposable>;
  readonly store?: Store;
}

// lego's figure for a run that nobody watches.
const SPREAD = 8 * 60;

async function servedIs(domain: string, fingerprint: string): Promise<RenewEntry['served']> {
  const served = await servedFingerprint(domain);
  return served === undefined ? 'none' : served === fingerprint ? 'current' : 'other';
}

type Unserved = Omit<RenewEntry, 'served'>;

async function renewOne(host: Host, store: Store, domain: string): Promise<Unserved | undefined> {
  const before = await readState(store, domain);
  const { certificate, failure } = before;
  const request = certificate?.request;
  if (certificate === undefined || request === undefined) return undefined;
  const notAfter = iso(certificate.notAfter);
  const due = renewalTime(certificate, request);
  if (due > before.now) return { domain, outcome: 'kept', notAfter, next: iso(due) };
  if (failure !== undefined && failure.next > before.now) {
    const { code, message, hint } = failure;
    return { domain, outcome: 'waiting', notAfter, next: iso(failure.next), error: { code, message, hint } };
  }
  const error = await tryToObtain(host, store, request, before);
  const after = await readState(store, domain);
  const current = after.certificate ?? certificate;
  if (error === undefined) {
    const next = iso(renewalTime(current, request));
    return { domain, outcome: 'renewed', notAfter: iso(current.notAfter), next };
  }
  const { code, message, hint } = error;
  return {
    domain,
    outcome: 'failed',
    notAfter: iso(current.notAfter),
    next: iso(after.failure?.next ?? after.now),
    error: { code, message, hint },
  };
}

async function anyDue(store: Store, domains: readonly string[]): Promise<boolean> {
  const states = await Promise.all(domains.map((domain) => readState(store, domain)));
  return states.some(
    ({ certificate, failure, now }) =>
      certificate?.request !== undefined &&
      renewalTime(certificate, certificate.request) <= now &&
      (failure?.next ?? 0) <= now,
  );
}

async function withServed(store: Store, entries: readonly Unserved[]): Promise<readonly RenewEntry[]> {
  return await Promise.all(
    entries.map(async (entry) => {
      const fingerprint = (await store.read(entry.domain))?.fingerprint ?? '';
      return { ...entry, served: await servedIs(entry.domain, fingerprint) };
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

/**
 * Renews every certificate on this host that has come of age, each by what it was asked for with, and reloads nginx only
 * where it does not serve what is in use: also when an earlier run was killed between the two. Never rejects for one
 * certificate's sake; what failed stands in the report, and the certificate in use stays.
 */
export async function renewDue(host: Host, options: RenewOptions = {}): Promise<RenewReport> {
  const store = options.store ?? openStore();
  const domains = await store.domains();
  const due = await anyDue(store, domains);
  const spread = options.spread ?? (process.stderr.isTTY ? 0 : SPREAD);
  if (due && spread > 0) {
    const seconds = randomInt(spread);
    host.say(`Waiting ${seconds} s, so that not all hosts ask at once`);
    await sleep(seconds * 1000);
  }
  await using _lock = due ? await options.lock?.() : undefined;
  const entries: Unserved[] = [];
  for (const domain of domains) {
    const entry = await renewOne(host, store, domain);
    if (entry?.error !== undefined) host.warn(entry.error.message, entry.error.hint);
    if (entry !== undefined) entries.push(entry);
  }
  const before = await withServed(store, entries);
  const report = { at: iso(Date.now()), certificates: before, reloaded: false };
  if (before.every(({ served }) => served !== 'other')) return report;
  const reload = await host.run(['systemctl', 'reload', 'nginx']);
  if (reload.exitCode !== 0) {
    const reloadError = reload.stderr.trim() || 'nginx could not be reloaded';
    host.warn(`nginx could not be reloaded: ${reloadError}`, 'Run `nginx -t` on the host and mend what it names.');
    return { ...report, reloadError };
  }
  const certificates = await untilServed(store, entries);
  for (const { domain, served } of certificates) {
    if (served !== 'other') continue;
    host.warn(
      `nginx serves another certificate for ${domain} than the one in use.`,
      `Look with \`nginx -T | grep ssl_certificate\` on the host for a site of ${domain} that names other files.`,
    );
  }
  return { ...report, certificates, reloaded: true };
}
