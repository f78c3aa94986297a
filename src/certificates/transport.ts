import type { IncomingMessage } from 'node:http';
import { Agent, request as httpsRequest } from 'node:https';
import { systemAuthorities } from '#core/authorities';
import { AcmeProblem, AuthorityUnreachable, parseProblem, parseRetryAfter } from './problem.ts';

export interface Answer {
  readonly status: number;
  /** The parsed document where it is JSON, else the text. */
  readonly data: unknown;
  readonly headers: Readonly<Record<string, string>>;
}

export interface RequestOptions {
  readonly data?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** How an authority is spoken to: one request at a time, each with a deadline, nothing retried, nothing hidden. */
export interface Transport {
  /**
   * Rejects with AcmeProblem for every refusal but a bad nonce, which the protocol asks to repeat at once, and with
   * AuthorityUnreachable where no answer came.
   */
  request(url: string, method: string, options?: RequestOptions): Promise<Answer>;
  /** Seconds the last answer asked to wait; undefined where it did not. */
  retryAfter(): number | undefined;
  close(): void;
}

const DEADLINE = 30_000;
const LARGEST_ANSWER = 1024 * 1024;

async function readBody(message: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of message as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > LARGEST_ANSWER) throw new Error(`the answer is larger than ${LARGEST_ANSWER} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function parseBody(body: string, type: string): unknown {
  if (!type.includes('json')) return body;
  try {
    return JSON.parse(body);
  } catch {
    return body;
  }
}

function refusal(answer: Answer): AcmeProblem {
  const said = typeof answer.data === 'string' ? answer.data.replace(/\s+/g, ' ').slice(0, 200) : '';
  const problem = parseProblem(answer.data) ?? {
    type: answer.status === 429 ? 'rateLimited' : answer.status >= 500 ? 'serverInternal' : `http ${answer.status}`,
    detail: `HTTP ${answer.status} ${said}`.trim(),
    subproblems: [],
  };
  return new AcmeProblem(problem, {
    status: answer.status,
    retryAfter: parseRetryAfter(answer.headers['retry-after']),
  });
}

function reason(error: unknown): string {
  const { code, name, message } = error as NodeJS.ErrnoException;
  if (name === 'TimeoutError' || name === 'AbortError') return `no answer within ${DEADLINE / 1000} s`;
  return code === undefined ? message : `${message === '' ? 'connection failed' : message} (${code})`;
}

/** Speaks HTTPS with what the host trusts and, where given, one more authority certificate (PEM). */
export function openTransport(ca: string | undefined): Transport {
  const agent = new Agent({ keepAlive: true, ca: [...(ca === undefined ? [] : [ca]), ...systemAuthorities()] });
  let retryAfter: number | undefined;

  async function exchange(url: string, method: string, options: RequestOptions): Promise<Answer> {
    const body = options.data === undefined ? undefined : JSON.stringify(options.data);
    const message = await new Promise<IncomingMessage>((resolve, reject) => {
      const outgoing = httpsRequest(url, {
        agent,
        method: method.toUpperCase(),
        signal: AbortSignal.timeout(DEADLINE),
        headers: {
          'user-agent': 'slipway (acme-client)',
          ...(body === undefined ? {} : { 'content-length': Buffer.byteLength(body) }),
          ...options.headers,
        },
      });
      outgoing.on('response', resolve).on('error', reject);
      outgoing.end(body);
    });
    const headers = Object.fromEntries(Object.entries(message.headers).map(([name, value]) => [name, String(value)]));
    return {
      status: message.statusCode ?? 0,
      data: parseBody(await readBody(message), headers['content-type'] ?? ''),
      headers,
    };
  }

  return {
    async request(url, method, options = {}) {
      const answer = await exchange(url, method, options).catch((error: unknown) => {
        throw new AuthorityUnreachable(url, reason(error), error);
      });
      retryAfter = parseRetryAfter(answer.headers['retry-after']);
      const repeatAtOnce = answer.status === 400 && parseProblem(answer.data)?.type === 'badNonce';
      if (answer.status >= 400 && !repeatAtOnce) throw refusal(answer);
      return answer;
    },
    retryAfter: () => retryAfter,
    close: () => agent.destroy(),
  };
}
