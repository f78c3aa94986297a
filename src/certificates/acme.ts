import { generateKeyPairSync } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import * as acme from 'acme-client';
import { AcmeProblem, isTransient, parseProblem } from './problem.ts';
import type { Account, PendingOrder } from './store.ts';
import { chainFault } from './stored.ts';
import { openTransport, type Transport } from './transport.ts';
import type { Solver } from './webroot.ts';

/** Whom a certificate is asked of. A second authority would be a second one of these, with an account of its own. */
export interface Authority {
  readonly directory: string;
  /** One more certificate (PEM) to trust when speaking to it. */
  readonly ca?: string | undefined;
  /** Binds a new account to one made on the authority's site (RFC 8555, section 7.3.4). */
  readonly externalAccount?: { readonly keyId: string; readonly hmacKey: string } | undefined;
}

/** What one issuance needs to know and to remember. */
export interface Issuance {
  readonly authority: Authority;
  readonly domains: readonly string[];
  readonly email?: string | undefined;
  readonly account: Account | undefined;
  readonly pending: PendingOrder | undefined;
  readonly solver: Solver;
  /** Called before the authority may depend on it, so that no crash loses a key. */
  keepAccount(account: Account): Promise<void>;
  keepOrder(order: PendingOrder | undefined): Promise<void>;
}

export interface Issued {
  /** PEM, PKCS #8, P-256. */
  readonly key: string;
  /** PEM, the certificate itself first. */
  readonly chain: string;
}

// Attempts at one request, and the seconds before the second of them; doubled each time.
const ATTEMPTS = 4;
const FIRST_WAIT = 1;
// Seconds to wait for an authority to validate a name or to sign.
const VALIDATION_DEADLINE = 90;
const LONGEST_POLL = 10;

// Never used, since every request goes through our own transport; if that ever changed, no Retry-After may freeze a run.
Object.assign(acme.axios.defaults, { acmeSettings: { ...acmeSettings(), retryMaxAttempts: 0 } });

function acmeSettings(): object {
  return (acme.axios.defaults as { acmeSettings?: object }).acmeSettings ?? {};
}

/** A new P-256 key as PEM. */
export function newKey(): string {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
}

/** Asks again where that may help, with growing pauses and never longer than the bound in isTransient. */
async function patiently<T>(ask: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await ask();
    } catch (error) {
      if (attempt === ATTEMPTS || !isTransient(error)) throw error;
      const asked = error instanceof AcmeProblem ? (error.retryAfter ?? 0) : 0;
      const wait = Math.max(asked, FIRST_WAIT * 2 ** (attempt - 1));
      await sleep(wait * 1000 * (1 + Math.random() / 4));
    }
  }
}

/** Reads something until it is settled, as often as the authority asks for; rejects after the deadline. */
async function poll<T>(transport: Transport, read: () => Promise<T>, settled: (state: T) => boolean): Promise<T> {
  const deadline = Date.now() + VALIDATION_DEADLINE * 1000;
  for (let wait = 0.1; ; wait *= 1.6) {
    const state = await patiently(read);
    if (settled(state)) return state;
    if (Date.now() > deadline) {
      const detail = `the authority has not decided within ${VALIDATION_DEADLINE} s`;
      throw new AcmeProblem({ type: 'serverInternal', detail, subproblems: [] }, { status: 504 });
    }
    await sleep(Math.min(transport.retryAfter() ?? wait, LONGEST_POLL) * 1000);
  }
}

/** The client with its requests through our transport: its own has no deadline, and hides what went wrong. */
function connect(authority: Authority, account: Account, transport: Transport): acme.Client {
  const client = new acme.Client({
    directoryUrl: authority.directory,
    accountKey: account.key,
    ...(account.url === undefined ? {} : { accountUrl: account.url }),
    ...(authority.externalAccount === undefined
      ? {}
      : {
          externalAccountBinding: {
            kid: authority.externalAccount.keyId,
            hmacKey: authority.externalAccount.hmacKey,
          },
        }),
  });
  const inner = client as unknown as { http: { request: unknown; maxBadNonceRetries: number } };
  inner.http.maxBadNonceRetries = 10;
  inner.http.request = (url: string, method: string, options: { data?: unknown } = {}) =>
    transport.request(url, method, {
      ...options,
      ...(options.data === undefined ? {} : { headers: { 'content-type': 'application/jose+json' } }),
    });
  return client;
}

function contact(email: string | undefined): { contact?: string[] } {
  return email === undefined ? {} : { contact: [`mailto:${email}`] };
}

/** A client with a registered account: the known one, or a new one where the authority has none (any more). */
async function signIn(issuance: Issuance, transport: Transport): Promise<acme.Client> {
  const { authority, email } = issuance;
  let account = issuance.account;
  if (account?.url !== undefined) {
    const client = connect(authority, account, transport);
    if (account.email === email) return client;
    try {
      await patiently(() => client.updateAccount({ contact: email === undefined ? [] : [`mailto:${email}`] }));
      await issuance.keepAccount({ ...account, email });
      return client;
    } catch (error) {
      if (!isUnknownAccount(error)) throw error;
    }
  }
  account = { key: account?.key ?? newKey() };
  await issuance.keepAccount(account);
  const client = connect(authority, account, transport);
  await patiently(() => client.createAccount({ termsOfServiceAgreed: true, ...contact(email) }));
  await issuance.keepAccount({ ...account, url: client.getAccountUrl(), email });
  return client;
}

function isUnknownAccount(error: unknown): boolean {
  return error instanceof AcmeProblem && error.problem.type === 'accountDoesNotExist';
}

/** The order to go on with: the one that an interrupted run left, where it is still good, else a new one. */
async function openOrder(client: acme.Client, issuance: Issuance): Promise<{ order: acme.Order; key: string }> {
  const { pending, domains, authority } = issuance;
  const sameWish =
    pending?.directory === authority.directory && JSON.stringify(pending.domains) === JSON.stringify(domains);
  if (pending !== undefined && sameWish) {
    const left = { url: pending.url } as acme.Order;
    const order = await patiently(() => client.getOrder(left)).catch((error: unknown) => {
      if (error instanceof AcmeProblem && (error.status ?? 500) < 500 && !isUnknownAccount(error)) return undefined;
      throw error;
    });
    if (order !== undefined && order.status !== 'invalid') return { order, key: pending.key };
  }
  const key = newKey();
  // Posted as given: `profile` and `replaces` (ARI) would go here.
  const identifiers = domains.map((value) => ({ type: 'dns', value }));
  const order = await patiently(() => client.createOrder({ identifiers }));
  await issuance.keepOrder({ directory: authority.directory, domains, url: order.url, key });
  return { order, key };
}

type Authorization = acme.Authorization;

function problemOf(authorization: Authorization): AcmeProblem {
  const failed = authorization.challenges.find(({ error }) => error !== undefined);
  const problem = parseProblem(failed?.error) ?? {
    type: 'unauthorized',
    detail: `the authorization is ${authorization.status}`,
    subproblems: [],
  };
  return new AcmeProblem({ identifier: authorization.identifier.value, ...problem });
}

async function readAuthorization(client: acme.Client, url: string): Promise<Authorization> {
  const [authorization] = await client.getAuthorizations({ authorizations: [url] } as acme.Order);
  if (authorization === undefined) throw new Error('the authority sent no authorization');
  return authorization;
}

/** Proves control over every name of an order; what was put up for it is taken down again, whatever happens. */
async function authorize(client: acme.Client, order: acme.Order, solver: Solver, transport: Transport): Promise<void> {
  const all = await Promise.all(order.authorizations.map((url) => patiently(() => readAuthorization(client, url))));
  const open = all.filter(({ status }) => status !== 'valid');
  const dead = open.find(({ status }) => status !== 'pending');
  if (dead !== undefined) throw problemOf(dead);
  const presented: [domain: string, token: string][] = [];
  try {
    const challenges = [];
    for (const { identifier, challenges: offered } of open) {
      const challenge = offered.find(({ type }) => type === solver.type);
      if (challenge === undefined) {
        const detail = `the authority offers no ${solver.type} for it`;
        throw new AcmeProblem({ type: 'unsupportedIdentifier', detail, identifier: identifier.value, subproblems: [] });
      }
      presented.push([identifier.value, challenge.token]);
      await solver.present(identifier.value, challenge.token, await client.getChallengeKeyAuthorization(challenge));
      challenges.push(challenge);
    }
    for (const challenge of challenges) {
      if (challenge.status === 'pending') await patiently(() => client.completeChallenge(challenge));
    }
    for (const { url } of open) {
      const settled = await poll(
        transport,
        () => readAuthorization(client, url),
        ({ status }) => status !== 'pending',
      );
      if (settled.status !== 'valid') throw problemOf(settled);
    }
  } catch (error) {
    // An authorization left pending counts against the account's limits for days.
    if (!isTransient(error)) await Promise.allSettled(open.map((each) => client.deactivateAuthorization(each)));
    throw error;
  } finally {
    await Promise.allSettled(presented.map(([domain, token]) => solver.clean(domain, token)));
  }
}

/** Has an order signed and fetches the chain; `ready` is not yet `valid`, only a certificate's URL counts. */
async function collect(
  client: acme.Client,
  opened: { readonly order: acme.Order; readonly key: string },
  domains: readonly string[],
  transport: Transport,
): Promise<string> {
  const read = () => client.getOrder(opened.order);
  let order = await poll(transport, read, ({ status }) => status !== 'pending');
  if (order.status === 'ready') {
    const [, csr] = await acme.crypto.createCsr({ altNames: [...domains] }, opened.key);
    const ready = order;
    // A repeated finalization finds the order past `ready`; what became of it shows in the order itself.
    await patiently(() => client.finalizeOrder(ready, csr)).catch((error: unknown) => {
      if (!(error instanceof AcmeProblem) || error.problem.type !== 'orderNotReady') throw error;
    });
    order = await poll(transport, read, ({ status }) => status !== 'ready' && status !== 'processing');
  } else if (order.status === 'processing') {
    order = await poll(transport, read, ({ status }) => status !== 'processing');
  }
  if (order.certificate === undefined) {
    const detail = `the order is ${order.status}`;
    throw new AcmeProblem(parseProblem(order.error) ?? { type: 'orderInvalid', detail, subproblems: [] });
  }
  const finished = order;
  return await patiently(() => client.getCertificate(finished));
}

async function issueOnce(issuance: Issuance, transport: Transport): Promise<Issued> {
  const client = await signIn(issuance, transport);
  const opened = await openOrder(client, issuance);
  if (opened.order.status === 'pending') await authorize(client, opened.order, issuance.solver, transport);
  const chain = await collect(client, opened, issuance.domains, transport);
  const fault = chainFault(chain, opened.key, issuance.domains, Date.now());
  if (fault !== undefined) {
    throw new AcmeProblem({ type: 'unusable', detail: `the certificate must not be used: ${fault}`, subproblems: [] });
  }
  return { key: opened.key, chain };
}

/**
 * Gets one certificate with a new key. Rejects with AcmeProblem or AuthorityUnreachable; an order that failed for good
 * is forgotten, one that was only interrupted is kept and taken up by the next call.
 */
export async function issue(issuance: Issuance): Promise<Issued> {
  const transport = openTransport(issuance.authority.ca);
  try {
    return await issueOnce(issuance, transport);
  } catch (error) {
    if (isUnknownAccount(error) && issuance.account?.url !== undefined) {
      const account = { key: issuance.account.key };
      return await issueOnce({ ...issuance, account, pending: undefined }, transport);
    }
    if (error instanceof AcmeProblem && !isTransient(error)) await issuance.keepOrder(undefined);
    throw error;
  } finally {
    transport.close();
  }
}
