import { ERROR_CODES } from '#core/error-codes';

/** The documentation's page of error codes, from the one table that `deploy explain` prints. */
export function errorsPage(): string {
  const entries = Object.entries(ERROR_CODES).sort(([a], [b]) => a.localeCompare(b));
  const rows = entries.map(([code, { exit, means, fix }]) => `## ${code}\n\n${means} Exit code ${exit}.\n\n${fix}\n`);
  return `# Error codes\n\nWhat \`deploy explain <code>\` says of each. Written by \`npm run docs\`.\n\n${rows.join('\n')}`;
}
