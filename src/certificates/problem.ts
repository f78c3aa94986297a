import type { ErrorCode } from '#core/error-codes';
import { DeployError } from '#core/errors';

/** A problem document (RFC 7807) as ACME authorities send it (RFC 8555, section 6.7). */
export interface Problem {
  /** Without its URN prefix: `rateLimited`, `caa`, `dns`. */
  readonly type: string;
  readonly detail: string;
  /** The name the problem is about, where it says so. */
  readonly identifier?: string;
  readonly subproblems: readonly Problem[];
}

const URN = 'urn:ietf:params:acme:error:';

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

/** The problem document in an answer; undefined where there is none. */
export function parseProblem(data: unknown): Problem | undefined {
  if (typeof data !== 'object' || data === null) return undefined;
  const { type, detail, identifier, subproblems } = data as Record<string, unknown>;
  const kind = text(type);
  if (kind === undefined) return undefined;
  const name = text((identifier as { value?: unknown } | undefined)?.value);
  return {
    type: kind.startsWith(URN) ? kind.slice(URN.length) : kind,
    detail: text(detail) ?? '',
    subproblems: (Array.isArray(subproblems) ? subproblems : []).map(parseProblem).filter((each) => each !== undefined),
    ...(name === undefined ? {} : { identifier: name }),
  };
}

/** What an authority refused, with everything it said about it. */
export class AcmeProblem extends Error {
  readonly problem: Problem;
  /** The HTTP status; undefined where the problem stood in an order or a challenge. */
  readonly status: number | undefined;
  /** Seconds the authority asks to wait; undefined where it does not. */
  readonly retryAfter: number | undefined;

  constructor(problem: Problem, answer: { readonly status?: number; readonly retryAfter?: number | undefined } = {}) {
    super(`${problem.type}: ${problem.detail}`);
    this.name = 'AcmeProblem';
    this.problem = problem;
    this.status = answer.status;
    this.retryAfter = answer.retryAfter;
  }
}

/** The authority could not be reached at all, or did not answer in time. */
export class AuthorityUnreachable extends Error {
  /** The code of the system or TLS error underneath: `ECONNREFUSED`, `CERT_HAS_EXPIRED`. */
  readonly reason: string;

  constructor(url: string, reason: string, cause: unknown) {
    super(`${new URL(url).host} cannot be reached: ${reason}`, { cause });
    this.name = 'AuthorityUnreachable';
    this.reason = reason;
  }
}

/** Seconds from a Retry-After header, which holds seconds or a date (RFC 9110); undefined where it holds neither. */
export function parseRetryAfter(header: string | undefined, now = Date.now()): number | undefined {
  if (header === undefined) return undefined;
  if (/^\d+$/.test(header.trim())) return Number(header);
  const date = Date.parse(header);
  return Number.isNaN(date) ? undefined : Math.max(0, Math.ceil((date - now) / 1000));
}

// Longer than this nobody waits within one run: it is remembered, and a later run tries again.
const LONGEST_WAIT = 20;

/** Whether TLS refused the authority's own certificate: CERT_HAS_EXPIRED, UNABLE_TO_VERIFY_LEAF_SIGNATURE. */
function isDistrusted(error: AuthorityUnreachable): boolean {
  return /CERT|UNABLE_TO_/.test(error.reason);
}

/** Whether asking again within the same run may help. */
export function isTransient(error: unknown): boolean {
  if (error instanceof AuthorityUnreachable) return !isDistrusted(error);
  if (!(error instanceof AcmeProblem) || error.status === undefined) return false;
  if ((error.retryAfter ?? 0) > LONGEST_WAIT) return false;
  if (error.problem.type === 'badNonce' || error.status >= 500) return true;
  return error.problem.type === 'rateLimited' && error.retryAfter !== undefined;
}

interface Explanation {
  readonly code: ErrorCode;
  readonly hint: string;
}

const NAME_REFUSED: Explanation = {
  code: 'certificate-name-refused',
  hint: 'Check the domains in the inventory: public names only, spelled in ASCII, no address and no wildcard.',
};
const ACCOUNT: Explanation = {
  code: 'certificate-account',
  hint: 'Check the e-mail address in the inventory, and whether this authority wants an account made on its site first.',
};

// By the types that RFC 8555 registers.
const EXPLANATIONS: Readonly<Record<string, Explanation>> = {
  rateLimited: {
    code: 'certificate-rate-limited',
    hint: 'Wait until the time it names; the renewal on the host tries again by itself. Until then use the staging directory for tests.',
  },
  caa: {
    code: 'certificate-caa',
    hint: 'Allow this authority in the CAA records of the domain (or of its parents), or remove them; then run `deploy up` again.',
  },
  dns: {
    code: 'certificate-dns',
    hint: 'Check that the A and AAAA records of the domain exist and that its name servers answer: `dig +trace` shows where it breaks.',
  },
  connection: {
    code: 'certificate-challenge',
    hint: "The authority must reach port 80 of the host from outside: open it in ufw and in the provider's firewall, and remove an AAAA record that leads elsewhere.",
  },
  unauthorized: {
    code: 'certificate-challenge',
    hint: 'Something else answers for the domain: check where its A and AAAA records lead, and what stands in front of the host.',
  },
  rejectedIdentifier: NAME_REFUSED,
  unsupportedIdentifier: NAME_REFUSED,
  malformed: NAME_REFUSED,
  externalAccountRequired: ACCOUNT,
  invalidContact: ACCOUNT,
  unsupportedContact: ACCOUNT,
  userActionRequired: ACCOUNT,
};
const ALIASES: Readonly<Record<string, string>> = { incorrectResponse: 'unauthorized', tls: 'connection' };

function details(problem: Problem): string {
  const own = problem.identifier === undefined ? problem.detail : `${problem.identifier}: ${problem.detail}`;
  return [own, ...problem.subproblems.map(details)].filter((each) => each !== '').join('; ');
}

function unreachable(what: string, error: AuthorityUnreachable): DeployError {
  return new DeployError('certificate-authority', `${what}: ${error.message}`, {
    cause: error,
    hint: isDistrusted(error)
      ? "Check the host's clock with `timedatectl`, and that the authority's own certificate can be trusted there."
      : "Check from the host that the authority answers, and its status page; the next `deploy up` or the host's own renewal tries again.",
  });
}

/** A refusal or failure of the authority as an error for a person; `what` says what was being done. */
export function explain(what: string, error: unknown, now = Date.now()): DeployError {
  if (error instanceof DeployError) return error;
  if (error instanceof AuthorityUnreachable) return unreachable(what, error);
  if (!(error instanceof AcmeProblem)) {
    const message = error instanceof Error ? error.message : String(error);
    return new DeployError('certificate-refused', `${what}: ${message}`, {
      cause: error,
      hint: 'Run `deploy up` again; if it stays, report it with the output of --json.',
    });
  }
  const { problem, status, retryAfter } = error;
  const type = ALIASES[problem.type] ?? problem.type;
  const wait =
    retryAfter === undefined || retryAfter <= LONGEST_WAIT
      ? ''
      : ` (not before ${new Date(now + retryAfter * 1000).toISOString()})`;
  const known = EXPLANATIONS[type];
  const failing = problem.type === 'serverInternal' || (known === undefined && (status ?? 0) >= 500);
  const { code, hint }: Explanation =
    known ??
    (failing
      ? {
          code: 'certificate-authority',
          hint: "Look at the authority's status page; the next `deploy up` or the host's own renewal tries again.",
        }
      : {
          code: 'certificate-refused',
          hint: 'Read what the authority says; if it makes no sense for this host, report it with the output of --json.',
        });
  return new DeployError(code, `${what}: ${details(problem)} [${problem.type}]${wait}`, { cause: error, hint });
}
