import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer, request } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { issue } from '#sandbox/authority';
import { GATEWAY } from '#sandbox/network';
import { type Internet, setRecord } from '#sandbox/sandbox';

/** What the front does with a request in place of passing it on; undefined passes it on. */
export interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
}

export interface Asked {
  readonly method: string;
  readonly path: string;
  /** Of POST requests, from one. */
  readonly post: number;
}

/**
 * A real ACME authority with its bad days: everything is passed on to the sandbox's Pebble, but for what `behave`
 * answers itself. Pebble can neither limit rates nor stand still.
 */
export interface AcmeFront extends AsyncDisposable {
  readonly directory: string;
  /** Called for each request; may take as long as it likes. */
  behave: (asked: Asked) => Promise<Answer | undefined> | Answer | undefined;
  /** Counts from one again. */
  reset(): void;
  readonly posts: number;
}

/** Starts the front on the machine, under a name of the sandbox's DNS. */
export async function acmeFront(internet: Internet, name: string): Promise<AcmeFront> {
  const folder = await mkdtemp(join(tmpdir(), 'acme-front-'));
  const [key, certificate] = [join(folder, 'key.pem'), join(folder, 'certificate.pem')];
  await issue([name], key, certificate);
  const ca = await readFile(internet.caFile);
  const upstream = new URL(internet.acmeDirectory);
  let posts = 0;

  const server = createServer(
    { key: await readFile(key), cert: await readFile(certificate) },
    async (incoming, outgoing) => {
      const { method = '', url: path = '' } = incoming;
      if (method === 'POST') posts += 1;
      const answer = await front.behave({ method, path, post: posts });
      if (answer !== undefined) {
        incoming.resume();
        outgoing.writeHead(answer.status, { 'content-type': 'application/problem+json', ...answer.headers });
        outgoing.end(JSON.stringify(answer.body ?? {}));
        return;
      }
      const passed = request({
        ...{ host: internet.address, port: upstream.port, servername: upstream.hostname, ca },
        // With its own name kept, Pebble's answers lead back here.
        ...{ method, path, headers: incoming.headers },
      });
      passed.on('error', () => outgoing.destroy());
      passed.on('response', (response) => {
        outgoing.writeHead(response.statusCode ?? 502, response.headers);
        response.pipe(outgoing);
      });
      incoming.on('error', () => passed.destroy());
      incoming.pipe(passed);
    },
  );
  server.on('tlsClientError', () => undefined);
  server.listen(0, GATEWAY.address);
  await once(server, 'listening');
  await setRecord(name, { a: [GATEWAY.address] });

  const front: AcmeFront = {
    directory: `https://${name}:${(server.address() as AddressInfo).port}/dir`,
    behave: () => undefined,
    reset: () => {
      posts = 0;
    },
    get posts() {
      return posts;
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await setRecord(name, {});
      await rm(folder, { recursive: true });
    },
  };
  return front;
}
