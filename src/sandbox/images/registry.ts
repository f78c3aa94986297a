import { createReadStream } from 'node:fs';
import { type IncomingHttpHeaders, request as requestHttp } from 'node:http';
import { Agent, request as requestHttps } from 'node:https';
import { buffer } from 'node:stream/consumers';
import { DeployError } from '#core/errors';
import type { CachedLayer } from './cache.ts';
import { type Blob, MANIFEST_TYPE } from './image.ts';

/** How a registry is reached. */
export interface RegistryAddress {
  /** `host` or `host:port`, as image references name it. */
  readonly registry: string;
  /** The authority that signed its certificate, as PEM; the system's own by default. */
  readonly ca?: string;
  /** The IP address to connect to, where the name is not in this machine's DNS. */
  readonly address?: string;
}

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

interface Question {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT';
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Opened anew for every attempt. */
  readonly body?: () => { readonly length: number; readonly content: Buffer | NodeJS.ReadableStream };
}

/** Pushing to one registry with the requests of the OCI distribution specification. */
export interface Registry {
  /** The digest that a repository's tag stands for; undefined where the registry has none. */
  digestOf(repository: string, tag: string): Promise<string | undefined>;
  pushLayer(repository: string, layer: CachedLayer): Promise<void>;
  pushBlob(repository: string, blob: Blob): Promise<void>;
  pushManifest(repository: string, tag: string, manifest: Blob): Promise<void>;
  close(): void;
}

const ATTEMPTS = 3;
/** Milliseconds without a single byte after which a request has failed. */
const SILENCE = 30_000;

/** Opens the way to a registry: https, except to this machine itself without an authority, as Docker does it. */
export function openRegistry({ registry, ca, address }: RegistryAddress): Registry {
  const hostname = registry.replace(/:\d+$/, '');
  const loopback = hostname === 'localhost' || hostname.startsWith('127.');
  const base = new URL(`${loopback && ca === undefined ? 'http' : 'https'}://${registry}`);
  const secure = base.protocol === 'https:';
  const agent = new Agent({ keepAlive: true, ...(ca === undefined ? {} : { ca }) });
  /** Blobs that a repository of this registry is known to have, so that others can have them without an upload. */
  const known = new Map<string, string>();

  const once = ({ method, path, headers, body }: Question): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const url = new URL(path, base);
      const sent = body?.();
      const request = (secure ? requestHttps : requestHttp)(
        {
          method,
          host: address ?? hostname,
          port: base.port === '' ? (secure ? 443 : 80) : base.port,
          path: url.pathname + url.search,
          headers: { host: registry, 'content-length': String(sent?.length ?? 0), ...headers },
          timeout: SILENCE,
          ...(secure ? { agent, servername: hostname } : {}),
        },
        (response) => {
          buffer(response).then(
            (content) => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: content }),
            reject,
          );
        },
      );
      request.on('timeout', () => request.destroy(new Error(`no answer within ${SILENCE / 1000} s`)));
      request.on('error', reject);
      if (sent === undefined || Buffer.isBuffer(sent.content)) request.end(sent?.content);
      else sent.content.on('error', (error) => request.destroy(error)).pipe(request);
    });

  const ask = async (question: Question, expected: readonly number[]): Promise<Answer> => {
    const answer = await once(question);
    if (expected.includes(answer.status)) return answer;
    const said = answer.body.toString('utf8').trim().slice(0, 300);
    throw new Error(
      `${question.method} ${question.path.replace(/\?.*$/, '')} was answered with ${answer.status} ${said}`,
    );
  };

  // A broken upload is started over, since what its session has kept is uncertain.
  const steadily = async <T>(task: () => Promise<T>): Promise<T> => {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await task();
      } catch (error) {
        if (attempt < ATTEMPTS) {
          await new Promise((resolve) => setTimeout(resolve, 300 * attempt));
          continue;
        }
        const reason = error instanceof Error ? error.message : String(error);
        throw new DeployError('sandbox-image-failed', `The registry ${registry} could not be used: ${reason}`, {
          hint: 'See that the sandbox stands with `deploy sandbox list`, and start it anew with `deploy sandbox up`.',
          cause: error,
        });
      }
    }
  };

  const upload = async (repository: string, digest: string, body: NonNullable<Question['body']>): Promise<void> => {
    const blobs = `/v2/${repository}/blobs`;
    const there = await ask({ method: 'HEAD', path: `${blobs}/${digest}` }, [200, 404]);
    if (there.status === 404) {
      const owner = known.get(digest);
      const mount = owner === undefined ? '' : `?mount=${encodeURIComponent(digest)}&from=${encodeURIComponent(owner)}`;
      const start = await ask({ method: 'POST', path: `${blobs}/uploads/${mount}` }, [201, 202]);
      if (start.status === 202) {
        const location = new URL(start.headers.location ?? '', base);
        location.searchParams.set('digest', digest);
        const type = { 'content-type': 'application/octet-stream' };
        await ask({ method: 'PUT', path: location.pathname + location.search, headers: type, body }, [201]);
      }
    }
    known.set(digest, repository);
  };

  return {
    digestOf: (repository, tag) =>
      steadily(async () => {
        const path = `/v2/${repository}/manifests/${tag}`;
        const { status, headers } = await ask({ method: 'HEAD', path, headers: { accept: MANIFEST_TYPE } }, [200, 404]);
        const digest = headers['docker-content-digest'];
        return status === 200 && typeof digest === 'string' ? digest : undefined;
      }),
    pushLayer: (repository, { digest, size, file }) =>
      steadily(() => upload(repository, digest, () => ({ length: size, content: createReadStream(file) }))),
    pushBlob: (repository, { digest, content }) =>
      steadily(() => upload(repository, digest, () => ({ length: content.length, content }))),
    pushManifest: (repository, tag, { content }) =>
      steadily(async () => {
        const body = () => ({ length: content.length, content });
        const path = `/v2/${repository}/manifests/${tag}`;
        await ask({ method: 'PUT', path, headers: { 'content-type': MANIFEST_TYPE }, body }, [201]);
      }),
    close: () => agent.destroy(),
  };
}
