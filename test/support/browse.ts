import { readFileSync } from 'node:fs';
import type { IncomingHttpHeaders } from 'node:http';
import { type Agent, request } from 'node:https';
import { AUTHORITIES } from '#sandbox/places';
import type { SandboxHost } from '#sandbox/sandbox';

/** What a visitor gets to see. */
interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

interface Asking {
  readonly cookie?: string;
  /** Sent with POST. */
  readonly body?: string;
  /** A new connection without one. */
  readonly agent?: Agent;
  /** Milliseconds without a word. */
  readonly timeout?: number;
}

/** Asks a host over https, as anybody who knows a domain of it; rejects where no whole answer comes. */
export function browse(
  { address }: Pick<SandboxHost, 'address'>,
  domain: string,
  path: string,
  { cookie, body, agent, timeout = 5000 }: Asking = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = { host: domain, ...(cookie === undefined ? {} : { cookie }) };
    const trust = { servername: domain, ca: readFileSync(AUTHORITIES) };
    const method = body === undefined ? 'GET' : 'POST';
    const question = request({ host: address, method, path, headers, agent: agent ?? false, timeout, ...trust });
    question.once('response', (response) => {
      let said = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        said += chunk;
      });
      response.once('error', reject);
      response.once('end', () => {
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: said.trim() });
      });
    });
    question.once('timeout', () => question.destroy(new Error('timeout')));
    question.once('error', reject);
    question.end(body);
  });
}
