import { paintFor } from '#cli/paint';
import type { DeployError } from '#core/errors';

interface PrintOptions {
  readonly json: boolean;
  /** What the person is working with, so that the next command can be typed as it stands. */
  readonly environment?: string;
}

/** Prints an error to standard error for a person, or as JSON to standard output for a machine. */
export function printError(error: DeployError, options: PrintOptions = { json: false }): void {
  const { code, message, host, resource } = error;
  const hint =
    options.environment === undefined ? error.hint : error.hint.replaceAll('<environment>', options.environment);
  if (options.json) {
    process.stdout.write(`${JSON.stringify({ type: 'error', code, message, hint, host, resource })}\n`);
    return;
  }
  const paint = paintFor(process.stderr);
  // What the SSH side says begins with the host and its address.
  const where = host === undefined || message.startsWith(`${host} (`) ? '' : `${host}: `;
  const what = resource === undefined ? '' : `${resource}: `;
  const lines = [
    `${paint.red('✗')} ${paint.bold(where)}${what}${message}`,
    `  ${paint.cyan('→')} ${hint}`,
    paint.dim(`  ${code}; more with \`deploy explain ${code}\``),
  ];
  process.stderr.write(`${lines.join('\n')}\n`);
  if (code === 'internal' && error.cause instanceof Error) process.stderr.write(`${error.cause.stack}\n`);
}
