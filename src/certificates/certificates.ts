import { DeployError } from '#core/errors';
import { type CertificateRequest, reasons } from '#resources/certificate-terms';
import type { Host } from '#resources/resource';
import { tryToObtain } from './obtain.ts';
import { readCertificate } from './read.ts';
import { openStore, type Store } from './store.ts';

export { type RenewEntry, type RenewOptions, type RenewReport, renewDue } from './renew.ts';

/** What became of a wish for a certificate. */
export interface Ensured {
  /** `postponed`: it is due and could not be renewed yet, but the one in use is still good. */
  readonly outcome: 'issued' | 'kept' | 'postponed';
  readonly domain: string;
  /** ISO 8601. */
  readonly notAfter: string;
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
  const state = await readCertificate(request, store);
  const found = reasons(state, request);
  const asks = found.filter(({ does }) => does !== 'mend');
  if (asks.length === 0 && state !== undefined) {
    if (found.length > 0) await store.mend(request);
    return { outcome: 'kept', domain, notAfter: new Date(state.notAfter).toISOString() };
  }
  const error = await tryToObtain(host, store, request);
  const after = await readCertificate(request, store);
  if (error === undefined && after !== undefined) {
    return { outcome: 'issued', domain, notAfter: new Date(after.notAfter).toISOString() };
  }
  if (error === undefined || after === undefined || asks.some(({ does }) => does === 'issue')) {
    throw (
      error ??
      new DeployError('certificate-refused', `The certificate for ${domain} vanished after it was put in place.`, {
        hint: 'See what else writes below /etc/slipway/certificates on the host, and run the command again.',
      })
    );
  }
  if (found.length > asks.length) await store.mend(request);
  const notAfter = new Date(after.notAfter).toISOString();
  host.warn(
    `${error.message} The certificate in use is good until ${notAfter}, and its renewal is tried again.`,
    error.hint,
  );
  return { outcome: 'postponed', domain, notAfter };
}
