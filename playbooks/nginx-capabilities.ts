import type { Facts } from '#protocol/facts';

/** What the distribution's nginx and its OpenSSL understand. */
export interface NginxCapabilities {
  /** `http2 on` (nginx 1.25.1); before, it is a word of `listen`. */
  readonly http2Directive: boolean;
  /** The hybrid post-quantum key exchange (OpenSSL 3.5). */
  readonly postQuantum: boolean;
  /** Keys of session tickets are renewed by nginx itself (nginx 1.23.2). */
  readonly rotatesTicketKeys: boolean;
}

/** Capabilities by release: Debian 13 has nginx 1.26 and OpenSSL 3.5, Debian 12 nginx 1.22 and OpenSSL 3.0. */
export function nginxCapabilities({ os }: Facts): NginxCapabilities {
  const modern = os.id === 'debian' && Number.parseInt(os.version, 10) >= 13;
  return { http2Directive: modern, postQuantum: modern, rotatesTicketKeys: modern };
}
