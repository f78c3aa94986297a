import { readFileSync } from 'node:fs';
import { rootCertificates } from 'node:tls';

const SYSTEM_STORE = '/etc/ssl/certs/ca-certificates.crt';

/** The authorities that this machine trusts (PEM); those that Node.js brings where it names none. */
export function systemAuthorities(): readonly string[] {
  try {
    return [readFileSync(SYSTEM_STORE, 'utf8')];
  } catch {
    return rootCertificates;
  }
}
