import { execFileSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The folder of Slipway itself. */
export const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..');

/** The command line as people get it. */
export const CLI = join(ROOT, 'dist', 'deploy.mjs');

/** Builds the command line and the runner from the sources as they are. */
export function build(): void {
  execFileSync('npm', ['run', '--silent', 'build'], { cwd: ROOT, stdio: ['ignore', 'ignore', 'inherit'] });
}
