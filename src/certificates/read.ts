import type { CertificateRequest, CertificateState } from '#resources/certificate-terms';
import { openStore } from './store.ts';
import { stateAt } from './stored.ts';

/** How the certificate for these names stands on this host; undefined where there is none, or none that can be read. */
export async function readCertificate(
  wanted: CertificateRequest,
  store = openStore(),
): Promise<CertificateState | undefined> {
  const domain = wanted.domains[0] ?? '';
  const [certificate, failure] = await Promise.all([store.read(domain), store.readFailure(domain)]);
  return certificate === undefined ? undefined : stateAt(certificate, failure, wanted, Date.now());
}
