import { createHash } from 'node:crypto';
import { chmod, mkdir, open, readdir, readFile, readlink, rename, rm, stat, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { CERTIFICATES, type CertificateRequest } from '#resources/certificate-terms';
import type { Failure } from './renewal.ts';
import { keyMatches, parseCertificate, type StoredCertificate } from './stored.ts';

/** An account with one authority. */
export interface Account {
  /** PEM, PKCS #8. */
  readonly key: string;
  /** The URL the authority knows it by; undefined until it is registered. */
  readonly url?: string | undefined;
  readonly email?: string | undefined;
}

/** An order under way, so that a run that was cut short is taken up instead of begun again. */
export interface PendingOrder {
  readonly directory: string;
  readonly domains: readonly string[];
  readonly url: string;
  /** PEM, PKCS #8: the key of the certificate to be. */
  readonly key: string;
}

/** What is kept beside a certificate. */
type Meta = Omit<CertificateRequest, 'ca'> & {
  readonly issued?: string;
  readonly notBefore?: string;
  readonly notAfter?: string;
  readonly names?: readonly string[];
  readonly issuer?: string;
};

const KEPT_VERSIONS = 3;

function isAbsent(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOENT' || code === 'ENOTDIR' || code === 'EINVAL';
}

async function ifThere<T>(reading: Promise<T>): Promise<T | undefined> {
  try {
    return await reading;
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}

async function readJson<T>(path: string): Promise<T | undefined> {
  const text = await ifThere(readFile(path, 'utf8'));
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text) as T;
  } catch {
    return undefined;
  }
}

async function syncDirectory(path: string): Promise<void> {
  await using handle = await open(path, 'r');
  await handle.sync();
}

async function writeNew(path: string, content: string, mode = 0o600): Promise<void> {
  await using handle = await open(path, 'w', mode);
  await handle.writeFile(content);
  await handle.chmod(mode);
  await handle.sync();
}

/** Replaces a file as one rename, synced. One process at a time writes here, so the candidate has a fixed name. */
async function replace(path: string, content: string): Promise<void> {
  await writeNew(`${path}.new`, content);
  await rename(`${path}.new`, path);
  await syncDirectory(join(path, '..'));
}

async function ownFolder(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o700 });
  await chmod(path, 0o700);
}

export type Store = ReturnType<typeof openStore>;

/** Certificates, accounts and what is remembered of failures, below one folder. */
export function openStore(root = CERTIFICATES) {
  const folder = (domain: string) => join(root, domain);
  const accountFolder = (directory: string) =>
    join(root, 'accounts', createHash('sha256').update(directory).digest('hex').slice(0, 16));

  const readCa = (directory: string) => ifThere(readFile(join(accountFolder(directory), 'ca.pem'), 'utf8'));

  /** Keeps what is trusted when speaking to an authority, for renewals. */
  async function keepCa(directory: string, ca: string | undefined): Promise<void> {
    const path = join(accountFolder(directory), 'ca.pem');
    if (ca === undefined) await rm(path, { force: true });
    else if ((await readCa(directory)) !== ca) {
      await ownAccountFolder(directory);
      await replace(path, ca);
    }
  }

  async function ownAccountFolder(directory: string): Promise<void> {
    for (const path of [root, join(root, 'accounts'), accountFolder(directory)]) await ownFolder(path);
  }

  async function versions(domain: string): Promise<readonly string[]> {
    const names = (await ifThere(readdir(folder(domain)))) ?? [];
    return names.filter((name) => /^\d{14}/.test(name)).sort();
  }

  /** Removes what a crash left and all but the newest versions; never what is in use. */
  async function prune(domain: string): Promise<void> {
    const current = await ifThere(readlink(join(folder(domain), 'current')));
    const all = await versions(domain);
    const old = all.filter((name) => name.endsWith('.new') || !all.slice(-KEPT_VERSIONS).includes(name));
    await Promise.all(
      old.filter((name) => name !== current).map((name) => rm(join(folder(domain), name), { recursive: true })),
    );
  }

  return {
    /** The domains that certificates are kept for, sorted. */
    async domains(): Promise<readonly string[]> {
      const names = (await ifThere(readdir(root))) ?? [];
      return names.filter((name) => name !== 'accounts' && name.includes('.')).sort();
    },

    /** The certificate in use; undefined where there is none, or none that can be read. */
    async read(domain: string): Promise<StoredCertificate | undefined> {
      const current = join(folder(domain), 'current');
      const [chain, key, request, keyStat] = await Promise.all([
        ifThere(readFile(join(current, 'fullchain.pem'), 'utf8')),
        ifThere(readFile(join(current, 'key.pem'), 'utf8')),
        readJson<Meta>(join(current, 'meta.json')),
        ifThere(stat(join(current, 'key.pem'))),
      ]);
      const facts = chain === undefined ? undefined : parseCertificate(chain);
      if (chain === undefined || facts === undefined) return undefined;
      const ca = request === undefined ? undefined : await readCa(request.directory);
      return {
        ...facts,
        request: request === undefined ? undefined : { ...request, ca },
        keyMatches: key !== undefined && keyMatches(chain, key),
        keyExposed: ((keyStat?.mode ?? 0) & 0o077) !== 0,
      };
    },

    /**
     * Puts a key and its chain into use: a complete, synced folder first, then one rename of the link that nginx
     * follows. A crash leaves the old pair or the new one, never a mixture.
     */
    async install(request: CertificateRequest, key: string, chain: string, now: number): Promise<void> {
      const domain = request.domains[0] ?? '';
      const version = new Date(now).toISOString().replace(/\D/g, '').slice(0, 17);
      const facts = parseCertificate(chain);
      const { ca, ...kept } = request;
      const meta = {
        ...kept,
        issued: new Date(now).toISOString(),
        ...(facts === undefined
          ? {}
          : {
              notBefore: new Date(facts.notBefore).toISOString(),
              notAfter: new Date(facts.notAfter).toISOString(),
              names: facts.names,
              issuer: facts.issuer,
            }),
      };
      await keepCa(request.directory, ca);
      const candidate = join(folder(domain), `${version}.new`);
      await ownFolder(folder(domain));
      await rm(candidate, { recursive: true, force: true });
      await mkdir(candidate, { mode: 0o700 });
      await writeNew(join(candidate, 'key.pem'), key);
      await writeNew(join(candidate, 'fullchain.pem'), chain);
      await writeNew(join(candidate, 'meta.json'), `${JSON.stringify(meta, undefined, 2)}\n`);
      await syncDirectory(candidate);
      await rename(candidate, join(folder(domain), version));
      const link = join(folder(domain), 'current');
      await rm(`${link}.new`, { force: true });
      await symlink(version, `${link}.new`);
      await rename(`${link}.new`, link);
      await syncDirectory(folder(domain));
      await prune(domain);
    },

    /** Keeps what the certificate in use is renewed with from now on, and its key to root alone. */
    async mend(request: CertificateRequest): Promise<void> {
      const current = join(folder(request.domains[0] ?? ''), 'current');
      const { ca, ...kept } = request;
      const { issued, notBefore, notAfter, names, issuer } = (await readJson<Meta>(join(current, 'meta.json'))) ?? {};
      const meta = { ...kept, issued, notBefore, notAfter, names, issuer };
      await keepCa(request.directory, ca);
      await replace(join(current, 'meta.json'), `${JSON.stringify(meta, undefined, 2)}\n`);
      await chmod(join(current, 'key.pem'), 0o600);
    },

    async remove(domain: string): Promise<void> {
      await rm(folder(domain), { recursive: true, force: true });
    },

    async readFailure(domain: string): Promise<Failure | undefined> {
      return await readJson<Failure>(join(folder(domain), 'failure.json'));
    },

    async writeFailure(domain: string, failure: Failure | undefined): Promise<void> {
      const path = join(folder(domain), 'failure.json');
      if (failure === undefined) {
        await rm(path, { force: true });
        return;
      }
      await ownFolder(folder(domain));
      await replace(path, `${JSON.stringify(failure, undefined, 2)}\n`);
    },

    async readOrder(domain: string): Promise<PendingOrder | undefined> {
      return await readJson<PendingOrder>(join(folder(domain), 'order.json'));
    },

    async writeOrder(domain: string, order: PendingOrder | undefined): Promise<void> {
      const path = join(folder(domain), 'order.json');
      if (order === undefined) {
        await rm(path, { force: true });
        return;
      }
      await ownFolder(folder(domain));
      await replace(path, JSON.stringify(order));
    },

    /** The account with an authority; undefined where there is none. */
    async readAccount(directory: string): Promise<Account | undefined> {
      const path = accountFolder(directory);
      const [key, registration] = await Promise.all([
        ifThere(readFile(join(path, 'account.key'), 'utf8')),
        readJson<{ url?: string; email?: string }>(join(path, 'account.json')),
      ]);
      return key === undefined ? undefined : { key, url: registration?.url, email: registration?.email };
    },

    /** Keeps an account; the key first, so that a registration is never without one. */
    async writeAccount(directory: string, account: Account): Promise<void> {
      const path = accountFolder(directory);
      await ownAccountFolder(directory);
      const { key, ...registration } = account;
      if ((await ifThere(readFile(join(path, 'account.key'), 'utf8'))) !== key) {
        await replace(join(path, 'account.key'), key);
      }
      await replace(join(path, 'account.json'), `${JSON.stringify({ directory, ...registration }, undefined, 2)}\n`);
    },
  };
}
