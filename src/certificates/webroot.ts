import { chmod, mkdir, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { WEBROOT } from '#resources/certificate-terms';

/** Puts proof of control over a name where an authority finds it, and takes it away again. */
export interface Solver {
  /** As RFC 8555 names it; `dns-01` would be another solver. */
  readonly type: 'http-01';
  present(domain: string, token: string, keyAuthorization: string): Promise<void>;
  clean(domain: string, token: string): Promise<void>;
}

const STALE = 60 * 60 * 1000;

function tokenPath(webroot: string, token: string): string {
  // A token is base64url (RFC 8555, section 8.3); anything else could name another folder.
  if (!/^[\w-]+$/.test(token)) throw new Error(`the token ${JSON.stringify(token)} is none`);
  return join(webroot, '.well-known', 'acme-challenge', token);
}

/** Proof by a file that nginx serves (http-01, RFC 8555, section 8.3). */
export function webrootSolver(webroot = WEBROOT): Solver {
  const folder = join(webroot, '.well-known', 'acme-challenge');
  return {
    type: 'http-01',
    async present(_domain, token, keyAuthorization) {
      await mkdir(folder, { recursive: true });
      // nginx's workers read it, whatever the umask of this process.
      for (const path of [webroot, join(webroot, '.well-known'), folder]) await chmod(path, 0o755);
      const path = tokenPath(webroot, token);
      await writeFile(path, keyAuthorization);
      await chmod(path, 0o644);
    },
    async clean(_domain, token) {
      await rm(tokenPath(webroot, token), { force: true });
    },
  };
}

/** Removes tokens that an interrupted run left more than an hour ago. */
export async function sweepTokens(now: number, webroot = WEBROOT): Promise<void> {
  const folder = join(webroot, '.well-known', 'acme-challenge');
  const names = await readdir(folder).catch(() => []);
  for (const name of names) {
    const path = join(folder, name);
    const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: now }));
    if (now - mtimeMs > STALE) await rm(path, { force: true });
  }
}
