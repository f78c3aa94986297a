import { createPrivateKey, X509Certificate } from 'node:crypto';
import { type CertificateRequest, type CertificateState, sameNames } from '#resources/certificate-terms';
import { type Failure, renewalTime, type Validity } from './renewal.ts';

/** What a certificate says of itself. */
export interface CertificateFacts extends Validity {
  /** DNS names, sorted. */
  readonly names: readonly string[];
  readonly issuer: string;
  /** SHA-256, as `AB:CD:…`. */
  readonly fingerprint: string;
}

/** A certificate with what lies beside it. */
export interface StoredCertificate extends CertificateFacts {
  readonly request: CertificateRequest | undefined;
  readonly keyMatches: boolean;
  readonly keyExposed: boolean;
}

/** The facts in the first certificate of a chain; undefined where it is none. */
export function parseCertificate(pem: string): CertificateFacts | undefined {
  try {
    const certificate = new X509Certificate(pem);
    const names = (certificate.subjectAltName ?? '')
      .split(', ')
      .filter((name) => name.startsWith('DNS:'))
      .map((name) => name.slice(4).toLowerCase());
    return {
      names: [...new Set(names)].sort(),
      notBefore: Date.parse(certificate.validFrom),
      notAfter: Date.parse(certificate.validTo),
      issuer: /^CN=(.*)$/m.exec(certificate.issuer)?.[1] ?? certificate.issuer.replaceAll('\n', ', '),
      fingerprint: certificate.fingerprint256,
    };
  } catch {
    return undefined;
  }
}

/** Whether a private key (PEM) is that of the first certificate in a chain. */
export function keyMatches(chain: string, key: string): boolean {
  try {
    return new X509Certificate(chain).checkPrivateKey(createPrivateKey(key));
  } catch {
    return false;
  }
}

function splitChain(pem: string): readonly string[] {
  return pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
}

/** Why a chain that an authority sent must not be used; undefined where it may. */
export function chainFault(chain: string, key: string, domains: readonly string[], now: number): string | undefined {
  const facts = parseCertificate(chain);
  if (facts === undefined) return 'what it sent is not a certificate';
  if (!keyMatches(chain, key)) return 'its key is not the one that was asked for';
  if (!sameNames(facts.names, domains)) return `it is for ${facts.names.join(', ')}`;
  if (facts.notAfter <= now) return `it ended at ${new Date(facts.notAfter).toISOString()}`;
  const links = splitChain(chain).map((pem) => new X509Certificate(pem));
  const broken = links.findIndex((link, index) => {
    const issuer = links[index + 1];
    return issuer !== undefined && !link.checkIssued(issuer);
  });
  return broken === -1 ? undefined : `its chain is broken after certificate ${broken + 1}`;
}

/** How a certificate stands at a moment, by the terms it is wanted on. */
export function stateAt(
  certificate: StoredCertificate,
  failure: Failure | undefined,
  terms: Pick<CertificateRequest, 'renewAfterFraction' | 'renewBefore'>,
  now: number,
): CertificateState {
  const { names, notAfter, request } = certificate;
  const due = renewalTime(certificate, terms) <= now;
  const waits = failure !== undefined && failure.next > now;
  return {
    names,
    notAfter,
    request,
    keyMatches: certificate.keyMatches,
    keyExposed: certificate.keyExposed,
    age: notAfter <= now ? 'ended' : !due ? 'good' : waits ? 'postponed' : 'due',
  };
}
