import { createPrivateKey, X509Certificate } from 'node:crypto';
import { type Failure, renewalTime, type Validity } from './renewal.ts';

/** What a certificate is asked for with; kept beside it, so that the host renews it by itself. */
export interface CertificateRequest {
  /** Names it is for; the first names its folder. Lower case, ASCII. */
  readonly domains: readonly string[];
  /** Where the authority may write to. */
  readonly email?: string | undefined;
  /** The authority's ACME directory. */
  readonly directory: string;
  /** One more certificate (PEM) to trust when speaking to the authority, for one that is not publicly known. */
  readonly ca?: string | undefined;
  /** Share of the lifetime after which it is renewed; from its lifetime by default. */
  readonly renewAfterFraction?: number | undefined;
  /** Whether DNS and port 80 must be seen to work before the authority is asked: `require` by default. */
  readonly preflight?: Preflight | undefined;
}

/** `warn` where address translation keeps the host from seeing its own public address, `skip` to ask at once. */
export type Preflight = 'require' | 'warn' | 'skip';

/** What a certificate says of itself. */
export interface CertificateFacts extends Validity {
  /** DNS names, sorted. */
  readonly names: readonly string[];
  readonly issuer: string;
  /** SHA-256, as `AB:CD:…`. */
  readonly fingerprint: string;
}

/** A certificate as it stands on the host. */
export interface StoredCertificate extends CertificateFacts {
  /** Undefined where what it was asked for with has been lost. */
  readonly request: CertificateRequest | undefined;
  /** Whether the key beside it is its own. */
  readonly keyMatches: boolean;
  /** Whether anybody but root may read the key. */
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

/** The certificates of a chain, each with its armour. */
export function splitChain(pem: string): readonly string[] {
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

function sameNames(names: readonly string[], wanted: readonly string[]): boolean {
  const sorted = [...new Set(wanted)].sort();
  return names.length === sorted.length && sorted.every((name, index) => names[index] === name);
}

/** What is known of one certificate at one moment. */
export interface CertificateState {
  /** Undefined where there is none, or none that can be read. */
  readonly certificate: StoredCertificate | undefined;
  readonly failure: Failure | undefined;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

/** One reason to act: `issue` asks the authority, `renew` may wait for its next try, `mend` needs no authority. */
export interface Reason {
  readonly does: 'issue' | 'renew' | 'mend';
  readonly summary: string;
}

function sameTerms(before: CertificateRequest, wanted: CertificateRequest): boolean {
  return (
    before.email === wanted.email &&
    before.ca?.trim() === wanted.ca?.trim() &&
    before.renewAfterFraction === wanted.renewAfterFraction &&
    (before.preflight ?? 'require') === (wanted.preflight ?? 'require')
  );
}

function day(time: number): string {
  return new Date(time).toISOString().slice(0, 10);
}

/** Why something has to be done about a certificate; empty exactly when nothing has. */
export function reasons(
  { certificate, failure, now }: CertificateState,
  request: CertificateRequest,
): readonly Reason[] {
  if (certificate === undefined) return [{ does: 'issue', summary: `issue for ${request.domains.join(', ')}` }];
  const found: Reason[] = [];
  if (!certificate.keyMatches) found.push({ does: 'issue', summary: 'issue again: its key is not its own' });
  if (!sameNames(certificate.names, request.domains)) {
    const names = request.domains.join(', ');
    found.push({ does: 'issue', summary: `names ${certificate.names.join(', ')} -> ${names}` });
  }
  const before = certificate.request;
  if (before?.directory !== request.directory) {
    found.push({ does: 'issue', summary: `authority ${before?.directory ?? 'unknown'} -> ${request.directory}` });
  } else if (!sameTerms(before, request)) {
    found.push({ does: 'mend', summary: 'what it is renewed with' });
  }
  if (certificate.notAfter <= now) {
    found.push({ does: 'issue', summary: `renew: it ended on ${day(certificate.notAfter)}` });
  } else if (renewalTime(certificate, request) <= now && (failure?.next ?? 0) <= now) {
    found.push({ does: 'renew', summary: `renew: it ends on ${day(certificate.notAfter)}` });
  }
  if (certificate.keyExposed) found.push({ does: 'mend', summary: 'key mode -> 0600' });
  return found;
}
