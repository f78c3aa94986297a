import { request } from 'node:http';
import { DeployError } from '#core/errors';

export interface DockerOptions {
  readonly method?: string;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /** Seconds without an answer after which the request is given up; 30 by default. */
  readonly timeout?: number;
  /** Where the engine listens. */
  readonly socket?: string;
}

const SOCKET = '/var/run/docker.sock';
const NO_ENGINE = new Set(['ENOENT', 'ECONNREFUSED', 'ENOTSOCK', 'EACCES']);
const HINT =
  'Look at `systemctl status docker` and `journalctl -u docker` on the host, then run the same command again.';

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: Buffer;
}

/** The text of a log stream whose standard output and error are multiplexed in frames; other text is left as it is. */
export function demultiplex(stream: Buffer): string {
  const parts: Buffer[] = [];
  let at = 0;
  while (at + 8 <= stream.length) {
    const framed = (stream[at] ?? 9) <= 2 && stream.readUIntBE(at + 1, 3) === 0;
    // A container with a terminal writes unframed text.
    if (!framed) return stream.toString();
    const size = stream.readUInt32BE(at + 4);
    parts.push(stream.subarray(at + 8, at + 8 + size));
    at += 8 + size;
  }
  return Buffer.concat(parts).toString();
}

function ask(path: string, options: DockerOptions): Promise<Answer | undefined> {
  const { method = 'GET', body, headers, timeout = 30, socket = SOCKET } = options;
  const payload = body === undefined ? undefined : JSON.stringify(body);
  return new Promise((resolve, reject) => {
    const failed = (reason: string, cause?: unknown) =>
      reject(
        new DeployError('docker-failed', `Docker did not answer ${method} ${path}: ${reason}.`, { hint: HINT, cause }),
      );
    const sent = request(
      {
        socketPath: socket,
        path,
        method,
        headers: {
          host: 'docker',
          ...headers,
          ...(payload === undefined
            ? {}
            : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload) }),
        },
        agent: false,
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', (error) => failed(error.message, error));
        response.on('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            type: response.headers['content-type'] ?? '',
            body: Buffer.concat(chunks),
          }),
        );
      },
    );
    sent.setTimeout(timeout * 1000, () => sent.destroy(new Error(`no answer within ${timeout} s`)));
    sent.on('error', (error: NodeJS.ErrnoException) => {
      if (NO_ENGINE.has(error.code ?? '')) resolve(undefined);
      else failed(error.message, error);
    });
    sent.end(payload);
  });
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/**
 * One request to the Docker Engine API. Undefined where no engine listens or what was asked for does not exist; an
 * empty object where the engine did as told without a word; text for logs; `docker-failed` where it refuses.
 */
export async function dockerRequest<T>(path: string, options: DockerOptions = {}): Promise<T | undefined> {
  const answer = await ask(path, options);
  if (answer === undefined || answer.status === 404) return undefined;
  if (answer.type.includes('stream')) return demultiplex(answer.body) as T;
  const text = answer.body.toString();
  if (answer.status >= 400) {
    const said = (parse(text) as { message?: string } | undefined)?.message ?? text.trim();
    throw new DeployError('docker-failed', `Docker refused ${options.method ?? 'GET'} ${path}: ${said}`, {
      hint: HINT,
    });
  }
  if (text.trim() === '') return {} as T;
  return (parse(text) ?? text) as T;
}
