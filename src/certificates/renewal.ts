const DAY = 86_400_000;
const MINUTE = 60_000;

export interface Validity {
  /** Milliseconds since the epoch. */
  readonly notBefore: number;
  /** Milliseconds since the epoch. */
  readonly notAfter: number;
}

export interface RenewalPolicy {
  /** Share of the lifetime after which a certificate is renewed. */
  readonly renewAfterFraction?: number | undefined;
  /** Seconds before its end. */
  readonly renewBefore?: number | undefined;
  /** A moment the authority itself suggests (ARI, RFC 9773), in milliseconds since the epoch; it goes before any share. */
  readonly suggested?: number | undefined;
}

/**
 * The share of its lifetime after which a certificate is renewed: 2/3, and 1/2 of one that lives ten days or less, as
 * the integration guide of Let's Encrypt and certbot have it. A number of days would be wrong for one kind or another.
 */
export function renewalFraction(validity: Validity): number {
  return validity.notAfter - validity.notBefore <= 10 * DAY ? 1 / 2 : 2 / 3;
}

/**
 * When a certificate falls due, in milliseconds since the epoch. A wish in seconds before the end counts only in the
 * second half of the lifetime, since lifetimes shrink: thirty days before the end would renew a short one for ever.
 */
export function renewalTime(validity: Validity, policy: RenewalPolicy = {}): number {
  const { notBefore, notAfter } = validity;
  const lifetime = notAfter - notBefore;
  const latest = notAfter - lifetime / 20;
  if (policy.suggested !== undefined) return Math.min(policy.suggested, latest);
  if (policy.renewAfterFraction === undefined && policy.renewBefore !== undefined) {
    return Math.min(Math.max(notAfter - policy.renewBefore * 1000, notBefore + lifetime / 2), latest);
  }
  return Math.min(notBefore + lifetime * (policy.renewAfterFraction ?? renewalFraction(validity)), latest);
}

// The ladder of the Let's Encrypt integration guide.
const BACK_OFF = [1 * MINUTE, 10 * MINUTE, 100 * MINUTE] as const;

/** How long to wait after that many failures in a row, in milliseconds: 1, 10, 100 minutes, then a day each. */
export function backOff(failures: number): number {
  return BACK_OFF[Math.max(1, failures) - 1] ?? DAY;
}

/** What is remembered of attempts that failed; forgotten with the next certificate. */
export interface Failure {
  /** In a row. */
  readonly count: number;
  readonly code: string;
  readonly message: string;
  readonly hint: string;
  /** The authority that was asked, or was to be. */
  readonly directory: string;
  /** Milliseconds since the epoch. */
  readonly at: number;
  /** When a renewal tries again by itself, in milliseconds since the epoch. */
  readonly next: number;
  /** Before this moment the authority itself does not want to be asked again, not even by a person. */
  readonly notBefore?: number | undefined;
}

/** One more failure on top of those remembered. */
export function nextFailure(
  before: Failure | undefined,
  failure: Pick<Failure, 'code' | 'message' | 'hint' | 'directory'>,
  now: number,
  retryAfterSeconds: number | undefined,
): Failure {
  const count = (before?.count ?? 0) + 1;
  const asked = retryAfterSeconds === undefined ? undefined : now + retryAfterSeconds * 1000;
  return {
    ...failure,
    count,
    at: now,
    next: Math.max(now + backOff(count), asked ?? 0),
    ...(asked === undefined ? {} : { notBefore: asked }),
  };
}
