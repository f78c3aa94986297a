import { join } from 'node:path';

/** The folder that nginx serves `/.well-known/acme-challenge/` from on port 80. */
export const WEBROOT = '/var/lib/slipway/acme';

/** Where certificates and accounts live on a host; root only. */
export const CERTIFICATES = '/etc/slipway/certificates';

/** The paths that nginx is given for one domain; what they lead to changes by one rename. */
export function certificatePaths(domain: string): { readonly chain: string; readonly key: string } {
  const current = join(CERTIFICATES, domain, 'current');
  return { chain: join(current, 'fullchain.pem'), key: join(current, 'key.pem') };
}

/** `warn` where address translation keeps the host from seeing its own public address, `skip` to ask at once. */
export type Preflight = 'require' | 'warn' | 'skip';

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
  /** Seconds before its end, for those who think in days; counts where no share is given. */
  readonly renewBefore?: number | undefined;
  /** Whether DNS and port 80 must be seen to work before the authority is asked: `require` by default. */
  readonly preflight?: Preflight | undefined;
}

/** A certificate as it stands on the host, seen at one moment. */
export interface CertificateState {
  /** DNS names, sorted. */
  readonly names: readonly string[];
  /** Milliseconds since the epoch. */
  readonly notAfter: number;
  /** Whether the key beside it is its own. */
  readonly keyMatches: boolean;
  /** Whether anybody but root may read the key. */
  readonly keyExposed: boolean;
  /** `postponed`: due, but an attempt failed a while ago and the next one comes later. */
  readonly age: 'good' | 'due' | 'postponed' | 'ended';
  /** What it was asked for with; undefined where that has been lost. */
  readonly request: CertificateRequest | undefined;
}

/** One reason to act: `issue` asks the authority, `renew` may fail and be tried later, `mend` needs no authority. */
export interface Reason {
  readonly does: 'issue' | 'renew' | 'mend';
  readonly summary: string;
}

/** Whether two lists hold the same names in whatever order. */
export function sameNames(names: readonly string[], wanted: readonly string[]): boolean {
  const [one, other] = [new Set(names), new Set(wanted)];
  return one.size === other.size && [...one].every((name) => other.has(name));
}

function sameTerms(before: CertificateRequest, wanted: CertificateRequest): boolean {
  return (
    before.email === wanted.email &&
    before.ca?.trim() === wanted.ca?.trim() &&
    before.renewAfterFraction === wanted.renewAfterFraction &&
    before.renewBefore === wanted.renewBefore &&
    (before.preflight ?? 'require') === (wanted.preflight ?? 'require')
  );
}

/** Why something has to be done about a certificate; empty exactly when nothing has. */
export function reasons(state: CertificateState | undefined, wanted: CertificateRequest): readonly Reason[] {
  if (state === undefined) return [{ does: 'issue', summary: `issue for ${wanted.domains.join(', ')}` }];
  const found: Reason[] = [];
  const { request } = state;
  const day = new Date(state.notAfter).toISOString().slice(0, 10);
  if (!state.keyMatches) found.push({ does: 'issue', summary: 'issue again: the key beside it is not its own' });
  if (!sameNames(state.names, wanted.domains)) {
    found.push({ does: 'issue', summary: `names ${state.names.join(', ')} -> ${wanted.domains.join(', ')}` });
  }
  if (request?.directory !== wanted.directory) {
    found.push({ does: 'issue', summary: `authority ${request?.directory ?? 'unknown'} -> ${wanted.directory}` });
  } else if (!sameTerms(request, wanted)) found.push({ does: 'mend', summary: 'what it is renewed with' });
  if (state.age === 'ended') found.push({ does: 'issue', summary: `renew: it ended on ${day}` });
  if (state.age === 'due') found.push({ does: 'renew', summary: `renew: it ends on ${day}` });
  if (state.keyExposed) found.push({ does: 'mend', summary: 'key mode -> 0600' });
  return found;
}
