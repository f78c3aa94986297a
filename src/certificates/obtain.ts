import { DeployError } from '#core/errors';
import type { CertificateRequest } from '#resources/certificate-terms';
import type { Host } from '#resources/resource';
import { preflight } from './preflight.ts';
import { AcmeProblem, explain } from './problem.ts';
import { type Failure, nextFailure } from './renewal.ts';
import type { Store } from './store.ts';
import { sweepTokens, webrootSolver } from './webroot.ts';

function nameOf(request: CertificateRequest): string {
  return request.domains.join(', ');
}

/** What may explain from the host's own side that an authority could not reach it. */
async function firewallHint(host: Host): Promise<string | undefined> {
  if (!/^ENABLED=yes$/m.test((await host.readFile('/etc/ufw/ufw.conf')) ?? '')) return undefined;
  const rules = (await host.readFile('/etc/ufw/user.rules')) ?? '';
  // ufw's own record of a rule: `### tuple ### allow tcp 80,443 0.0.0.0/0 any 0.0.0.0/0 in`.
  const open = /^### tuple ### (allow|limit) (tcp|any) (any|(\d+[,:])*80([,:]\d+)*) 0\.0\.0\.0\/0 any 0\.0\.0\.0\/0 /m;
  if (open.test(rules)) return undefined;
  return 'ufw is on and does not let everybody in on port 80: run `ufw allow 80/tcp` on the host.';
}

async function explainHere(host: Host, request: CertificateRequest, error: unknown): Promise<DeployError> {
  const explained = explain(`No certificate for ${nameOf(request)} from ${new URL(request.directory).host}`, error);
  const unreachable = error instanceof AcmeProblem && error.problem.type === 'connection';
  const hint = unreachable ? await firewallHint(host) : undefined;
  return hint === undefined ? explained : new DeployError(explained.code, explained.message, { hint, cause: error });
}

/** Proves control, asks the authority and puts what it gives into use. */
async function obtain(host: Host, store: Store, request: CertificateRequest): Promise<void> {
  const domain = request.domains[0] ?? '';
  const solver = webrootSolver();
  await sweepTokens(Date.now());
  if (request.preflight !== 'skip') {
    await preflight(request.domains, host.facts.addresses, solver, host.warn).catch((error: unknown) => {
      if (request.preflight !== 'warn' || !(error instanceof DeployError)) throw error;
      host.warn(error.message, error.hint);
    });
  }
  host.say(`asking ${new URL(request.directory).host} for a certificate for ${nameOf(request)}`);
  const { issue } = await import('#certificates/acme');
  const { key, chain } = await issue({
    authority: { directory: request.directory, ca: request.ca },
    domains: request.domains,
    email: request.email,
    account: await store.readAccount(request.directory),
    pending: await store.readOrder(domain),
    solver,
    keepAccount: (account) => store.writeAccount(request.directory, account),
    keepOrder: (order) => store.writeOrder(domain, order),
  });
  await store.install(request, key, chain, Date.now());
  await store.writeOrder(domain, undefined);
  await store.writeFailure(domain, undefined);
}

// What an authority has forbidden until later is not asked for again, however often a person runs `deploy up`.
function stillForbidden(failure: Failure | undefined, request: CertificateRequest): DeployError | undefined {
  if (failure?.notBefore === undefined || failure.notBefore <= Date.now()) return undefined;
  if (failure.directory !== request.directory) return undefined;
  const until = new Date(failure.notBefore).toISOString();
  return new DeployError('certificate-rate-limited', `${failure.message} It is not asked again before ${until}.`, {
    hint: failure.hint,
  });
}

/**
 * Tries once to put a certificate for this request into use; the error that kept it from doing so is remembered with a
 * growing pause, and returned.
 */
export async function tryToObtain(
  host: Host,
  store: Store,
  request: CertificateRequest,
): Promise<DeployError | undefined> {
  const domain = request.domains[0] ?? '';
  const before = await store.readFailure(domain);
  const forbidden = stillForbidden(before, request);
  if (forbidden !== undefined) return forbidden;
  try {
    await obtain(host, store, request);
    return undefined;
  } catch (error) {
    const explained = error instanceof DeployError ? error : await explainHere(host, request, error);
    const retryAfter = error instanceof AcmeProblem ? error.retryAfter : undefined;
    const { code, message, hint } = explained;
    const failure = { code, message, hint, directory: request.directory };
    await store.writeFailure(domain, nextFailure(before, failure, Date.now(), retryAfter));
    return explained;
  }
}
