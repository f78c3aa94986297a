import { paintFor } from '#cli/paint';
import type { DeployError } from '#core/errors';

/** Prints an error to standard error for a person, or as JSON to standard output for a machine. */
export function printError(error: DeployError, options: { readonly json: boolean } = { json: false }): void {
  const { code, message, hint, host, resource } = error;
  if (options.json) {
    process.stdout.write(`${JSON.stringify({ type: 'error', code, message, hint, host, resource })}\n`);
    return;
  }
  const paint = paintFor(process.stderr);
  const where = host === undefined ? '' : `${host}: `;
  const what = resource === undefined ? '' : `${resource}: `;
  const lines = [
    `${paint.red('✗')} ${paint.bold(where)}${what}${message}`,
    `  ${paint.cyan('→')} ${hint}`,
    paint.dim(`  ${code}; more with \`deploy explain ${code}\``),
  ];
  process.stderr.write(`${lines.join('\n')}\n`);
  if (code === 'internal' && error.cause instanceof Error) process.stderr.write(`${error.cause.stack}\n`);
}
