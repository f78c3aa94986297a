import { execFileSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The folder of Slipway itself. */
export const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..');

const DIST = process.env.SLIPWAY_DIST ?? join(ROOT, 'dist');

/** The command line as people get it. */
export const CLI = join(DIST, 'deploy.mjs');

/** Builds the command line and the runner from the sources as they are, where SLIPWAY_DIST says. */
export function build(): void {
  const elsewhere = process.env.SLIPWAY_DIST === undefined ? [] : ['--', '--outdir', DIST];
  execFileSync('npm', ['run', '--silent', 'build', ...elsewhere], {
    cwd: ROOT,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
}
