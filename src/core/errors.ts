import { ERROR_CODES, type ErrorCode } from '#core/error-codes';

export interface ErrorDetails {
  /** The next command to type, or the next thing to do: a full sentence. */
  readonly hint: string;
  readonly cause?: unknown;
  /** The host the error belongs to, as named in the inventory. */
  readonly host?: string;
  /** The resource the error belongs to, as `kind:id`. */
  readonly resource?: string;
}

/**
 * Every error meant for a person. The message says what, where and which resource; the hint says what to do next.
 */
export class DeployError extends Error {
  readonly code: ErrorCode;
  readonly hint: string;
  readonly host: string | undefined;
  readonly resource: string | undefined;

  constructor(code: ErrorCode, message: string, details: ErrorDetails) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'DeployError';
    this.code = code;
    this.hint = details.hint;
    this.host = details.host;
    this.resource = details.resource;
  }

  /** The process exit code that belongs to this error. */
  get exitCode(): number {
    return ERROR_CODES[this.code].exit;
  }

  /** A copy that also names the host and the resource where the error has none yet. */
  at(where: { host?: string; resource?: string }): DeployError {
    const host = this.host ?? where.host;
    const resource = this.resource ?? where.resource;
    return new DeployError(this.code, this.message, {
      hint: this.hint,
      ...(this.cause === undefined ? {} : { cause: this.cause }),
      ...(host === undefined ? {} : { host }),
      ...(resource === undefined ? {} : { resource }),
    });
  }
}

/** Anything thrown, as a DeployError: what is not one already is a full disk, or a defect of ours and says so. */
export function asDeployError(thrown: unknown): DeployError {
  if (thrown instanceof DeployError) return thrown;
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  const { code } = thrown instanceof Error ? (thrown as NodeJS.ErrnoException) : {};
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new DeployError('disk-full', message, { hint: ERROR_CODES['disk-full'].fix, cause: thrown });
  }
  return new DeployError('internal', message, {
    hint: ERROR_CODES.internal.fix,
    cause: thrown,
  });
}
