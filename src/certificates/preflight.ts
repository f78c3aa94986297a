import { randomBytes } from 'node:crypto';
import { Resolver } from 'node:dns/promises';
import { request } from 'node:http';
import { request as secureRequest } from 'node:https';
import { isIPv6 } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { DeployError } from '#core/errors';
import type { Solver } from './webroot.ts';

/** What one address of a domain answered when asked for the token. */
export interface Finding {
  readonly address: string;
  /** Whether the host has this address itself. */
  readonly own: boolean;
  /** `token`: it came back. `silent`: no connection, no answer. `other`: somebody answered something else. */
  readonly outcome: 'token' | 'silent' | 'other';
  /** For a person: `answered 404`, `refused the connection`. */
  readonly said: string;
}

/** What the findings for one domain come to. */
export interface Verdict {
  readonly error?: {
    readonly code: 'certificate-dns' | 'certificate-challenge';
    readonly message: string;
    readonly hint: string;
  };
  readonly warnings: readonly string[];
}

const RECORD = (address: string) => (isIPv6(address) ? 'AAAA' : 'A');

/**
 * Whether an authority that tries any of these addresses would find the proof. An address that is not the host's own
 * is fine as long as the token comes back through it: address translation, or a proxy in front.
 */
export function judge(domain: string, findings: readonly Finding[], hostAddresses: readonly string[]): Verdict {
  const here = hostAddresses.length === 0 ? 'this host' : `this host (${hostAddresses.join(', ')})`;
  if (findings.length === 0) {
    return {
      warnings: [],
      error: {
        code: 'certificate-dns',
        message: `${domain} has neither an A nor an AAAA record.`,
        hint: `Point ${domain} at ${here} where its DNS is kept, wait until \`dig ${domain}\` shows it, and run \`deploy up\` again.`,
      },
    };
  }
  const behindSomething = findings.some(({ own, outcome }) => !own && outcome === 'token');
  const broken = findings.filter(
    // A proxy's address of a family this host does not have cannot be tried from here.
    ({ own, outcome }) => outcome === 'other' || (outcome === 'silent' && (own || !behindSomething)),
  );
  const warnings = findings
    .filter((finding) => !broken.includes(finding) && !finding.own)
    .map(({ address, outcome, said }) =>
      outcome === 'token'
        ? `${domain} leads to ${address}, which is no address of ${here}, but the token came back through it.`
        : `${domain} also leads to ${address}, which ${said} from here; it could not be checked.`,
    );
  const worst = broken.find(({ own }) => !own) ?? broken[0];
  if (worst === undefined) return { warnings };
  const all = broken
    .map(({ address, own, said }) => `${RECORD(address)} ${address}${own ? '' : ' (not this host)'} ${said}`)
    .join('; ');
  const message = `${domain} cannot be proven over port 80: ${all}.`;
  if (worst.own) {
    return {
      warnings,
      error: {
        code: 'certificate-challenge',
        message,
        hint: 'nginx must serve /.well-known/acme-challenge/ for this domain on port 80 over every address of the host: check `nginx -T` and `ss -ltnp` on it.',
      },
    };
  }
  const good = findings.some(({ outcome }) => outcome === 'token');
  const record = `${RECORD(worst.address)} record ${worst.address}`;
  const nat =
    'If it is the public side of an address translation, set `certificates: { preflight: warn }` in the inventory.';
  return {
    warnings,
    error: {
      code: 'certificate-dns',
      message,
      hint: good
        ? `Remove the ${record} of ${domain}, or make it lead to this host: authorities may try any of them, and IPv6 first.`
        : `Change the ${record} of ${domain} to an address of ${here}, then run \`deploy up\` again. ${nat}`,
    },
  };
}

const DEADLINE = 5_000;
// nginx answers with its old workers for a moment after a reload.
const SETTLING = { attempts: 4, pause: 500 };
const REDIRECTS = 5;
const LARGEST = 4096;

interface Page {
  readonly status: number;
  readonly body: string;
  readonly location: string | undefined;
  readonly server: string | undefined;
}

function fetchFrom(url: URL, address: string | undefined, signal: AbortSignal): Promise<Page> {
  return new Promise((resolve, reject) => {
    const ask = url.protocol === 'https:' ? secureRequest : request;
    const outgoing = ask({
      host: address ?? url.hostname,
      port: url.port === '' ? (url.protocol === 'https:' ? 443 : 80) : Number(url.port),
      path: `${url.pathname}${url.search}`,
      servername: url.hostname,
      headers: { host: url.host, 'user-agent': 'slipway' },
      // Authorities follow a redirect to https without checking the certificate, and so do we.
      rejectUnauthorized: false,
      agent: false,
      signal,
    });
    outgoing.on('error', reject);
    outgoing.on('response', (message) => {
      let body = '';
      message.setEncoding('utf8');
      message.on('error', reject);
      message.on('data', (chunk: string) => {
        body += chunk;
        if (body.length > LARGEST) message.destroy();
      });
      message.on('close', () =>
        resolve({
          status: message.statusCode ?? 0,
          body,
          location: message.headers.location,
          server: message.headers['server']?.toString(),
        }),
      );
    });
    outgoing.end();
  });
}

function whySilent(error: unknown): string {
  const { code, name, message } = error as NodeJS.ErrnoException;
  if (name === 'TimeoutError' || name === 'AbortError') return `did not answer within ${DEADLINE / 1000} s`;
  if (code === 'ECONNREFUSED') return 'refused the connection';
  if (code === 'ENETUNREACH' || code === 'EHOSTUNREACH' || code === 'EADDRNOTAVAIL') return 'cannot be reached';
  if (code === 'ECONNRESET') return 'closed the connection';
  return `failed (${code ?? message})`;
}

interface Probe {
  readonly domain: string;
  readonly address: string;
  readonly own: boolean;
  readonly path: string;
  readonly token: string;
}

async function probe(asked: Probe): Promise<Finding> {
  for (let attempt = 1; ; attempt += 1) {
    const finding = await probeOnce(asked);
    if (finding.outcome === 'token' || !asked.own || attempt === SETTLING.attempts) return finding;
    await sleep(SETTLING.pause);
  }
}

async function probeOnce({ domain, address, own, path, token }: Probe): Promise<Finding> {
  const signal = AbortSignal.timeout(DEADLINE);
  let url = new URL(`http://${domain}${path}`);
  try {
    for (let hop = 0; hop <= REDIRECTS; hop += 1) {
      const page = await fetchFrom(url, url.hostname === domain ? address : undefined, signal);
      if (page.status >= 300 && page.status < 400 && page.location !== undefined) {
        url = new URL(page.location, url);
        continue;
      }
      if (page.status === 200 && page.body.trim() === token) {
        return { address, own, outcome: 'token', said: 'gave the token back' };
      }
      const by = page.server === undefined ? '' : ` by ${page.server}`;
      const what = page.status === 200 ? 'another page than the token' : String(page.status);
      return { address, own, outcome: 'other', said: `answered ${what}${by} (${url.href})` };
    }
    return { address, own, outcome: 'other', said: `redirects without end (${url.href})` };
  } catch (error) {
    return { address, own, outcome: 'silent', said: whySilent(error) };
  }
}

const NO_RECORDS = new Set(['ENODATA', 'ENOTFOUND']);

async function resolve(domain: string): Promise<readonly string[]> {
  const resolver = new Resolver({ timeout: 3_000, tries: 2 });
  const ask = (records: Promise<string[]>) =>
    records.catch((error: NodeJS.ErrnoException) => {
      if (NO_RECORDS.has(error.code ?? '')) return [];
      throw new DeployError('certificate-dns', `The DNS of ${domain} cannot be read: ${error.code ?? error.message}.`, {
        cause: error,
        hint: `Check from the host that \`getent hosts ${domain}\` answers; \`dig +trace ${domain}\` shows which name server fails.`,
      });
    });
  const [v4, v6] = await Promise.all([ask(resolver.resolve4(domain)), ask(resolver.resolve6(domain))]);
  return [...v4, ...v6];
}

/**
 * Sees for itself, before an authority is asked, that every address of every domain leads to this host and that a token
 * can be read there over port 80: an authority allows only a few failures an hour (five with Let's Encrypt). Warns of
 * what is odd and rejects with what would fail.
 */
export async function preflight(
  domains: readonly string[],
  hostAddresses: readonly string[],
  solver: Solver,
  warn: (message: string, hint?: string) => void,
): Promise<void> {
  const name = `slipway-${randomBytes(12).toString('hex')}`;
  const token = randomBytes(24).toString('base64url');
  const own = new Set(hostAddresses.map((address) => address.toLowerCase()));
  await solver.present(domains[0] ?? '', name, token);
  try {
    const path = `/.well-known/acme-challenge/${name}`;
    const verdicts = await Promise.all(
      domains.map(async (domain) => {
        const addresses = await resolve(domain);
        const findings = addresses.map((address) => probe({ domain, address, own: own.has(address), path, token }));
        return judge(domain, await Promise.all(findings), hostAddresses);
      }),
    );
    for (const message of verdicts.flatMap(({ warnings }) => warnings)) warn(message);
    const errors = verdicts.map(({ error }) => error).filter((error) => error !== undefined);
    const [first] = errors;
    if (first === undefined) return;
    throw new DeployError(first.code, errors.map(({ message }) => message).join('\n'), { hint: first.hint });
  } finally {
    await solver.clean(domains[0] ?? '', name);
  }
}
