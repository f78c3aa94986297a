import { request } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import { rootCertificates } from 'node:tls';
import { paintFor } from '#cli/paint';
import { EXIT } from '#core/error-codes';
import type { Environment } from '#inventory/environment';

/** Seconds a public URL may take to answer. */
const ANSWER = 10;

/** Seconds until a URL that does not answer well is given up: nginx takes a moment to take over a new configuration. */
const PATIENCE = 5;

interface Verdict {
  readonly url: string;
  readonly host: string;
  readonly status: number | undefined;
  readonly problem: string | undefined;
  readonly seconds: number;
}

function problemOf(error: NodeJS.ErrnoException): string {
  if (error.code === 'EPROTO') return 'it refuses to speak TLS under this name';
  if (error.code === 'ECONNREFUSED') return 'the connection is refused';
  if (error.code === 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY' || error.code === 'SELF_SIGNED_CERT_IN_CHAIN') {
    return 'the certificate is not from an authority this machine trusts';
  }
  return error.message;
}

// The host is asked directly under the domain's name: what DNS says is a matter of its own.
function probe(domain: string, address: string, host: string, ca: string | undefined): Promise<Verdict> {
  const started = performance.now();
  const url = `https://${domain}/`;
  const seconds = () => (performance.now() - started) / 1000;
  return new Promise((resolve) => {
    const question = request(
      {
        host: address,
        servername: domain,
        path: '/',
        agent: false,
        timeout: ANSWER * 1000,
        headers: { host: domain, 'user-agent': 'slipway-probe' },
        ...(ca === undefined ? {} : { ca: [...rootCertificates, ca] }),
      },
      (response) => {
        response.resume();
        const status = response.statusCode ?? 0;
        const problem = status >= 500 ? `it answers ${status}` : undefined;
        resolve({ url, host, status, problem, seconds: seconds() });
      },
    );
    question.once('timeout', () => question.destroy(new Error(`there is no answer within ${ANSWER} s`)));
    question.once('error', (error) =>
      resolve({ url, host, status: undefined, problem: problemOf(error), seconds: seconds() }),
    );
    question.end();
  });
}

async function probeUntilWell(ask: () => Promise<Verdict>): Promise<Verdict> {
  const deadline = performance.now() + PATIENCE * 1000;
  for (;;) {
    const verdict = await ask();
    if (verdict.problem === undefined || performance.now() >= deadline) return verdict;
    await sleep(250);
  }
}

/** Asks every public URL of an environment from here, and tells what answered. Resolves with an exit code. */
export async function probeRoutes(
  environment: Environment,
  hosts: readonly string[],
  options: { readonly json: boolean },
): Promise<number> {
  const verdicts = await Promise.all(
    environment.routes.flatMap(({ domain }) =>
      hosts.map((host) =>
        probeUntilWell(() =>
          probe(domain, environment.hosts[host]?.address ?? host, host, environment.certificates.ca),
        ),
      ),
    ),
  );
  const paint = paintFor(process.stderr);
  for (const { url, host, status, problem, seconds } of verdicts) {
    if (options.json) {
      process.stdout.write(`${JSON.stringify({ type: 'probe', url, host, status, problem, seconds })}\n`);
    } else if (problem === undefined) {
      process.stderr.write(
        `  ${paint.green('✓')} ${paint.bold(url)} answers ${status} ${paint.dim(`in ${Math.round(seconds * 1000)} ms`)}\n`,
      );
    } else {
      process.stderr.write(`  ${paint.red('✗')} ${url} on ${host}: ${problem}\n`);
    }
  }
  return verdicts.some(({ problem }) => problem !== undefined) ? EXIT.failed : EXIT.done;
}
