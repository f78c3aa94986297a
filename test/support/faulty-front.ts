import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer as createHttp, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { createServer as createHttps } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { issue } from '#sandbox/authority';
import { GATEWAY } from '#sandbox/network';
import { setRecord } from '#sandbox/sandbox';

/** What a front does with a request: passes it on, answers a status itself, never answers, or passes it on slowly. */
export type Mood = 'well' | number | 'silent' | { readonly bytesPerSecond: number };

/** A server that passes on what it is asked to a real one behind it, and has bad days. */
export interface FaultyFront extends AsyncDisposable {
  /** With its scheme and port. */
  readonly url: string;
  /** How it is, for each request; `GET /…` and the like. */
  mood: (asked: string) => Mood;
  readonly requests: readonly string[];
}

async function trickle(from: IncomingMessage, to: NodeJS.WritableStream, bytesPerSecond: number): Promise<void> {
  for await (const chunk of from) {
    to.write(chunk);
    await new Promise((done) => setTimeout(done, ((chunk as Buffer).length / bytesPerSecond) * 1000));
  }
  to.end();
}

/** Starts a front on the machine, under a name of the sandbox's DNS; with https unless told otherwise. */
export async function faultyFront(
  name: string,
  target: { readonly host: string; readonly port: number },
  { tls = true }: { readonly tls?: boolean } = {},
): Promise<FaultyFront> {
  const folder = await mkdtemp(join(tmpdir(), 'front-'));
  const [key, certificate] = [join(folder, 'key.pem'), join(folder, 'certificate.pem')];
  await issue([name], key, certificate);
  const requests: string[] = [];

  const serve = (incoming: IncomingMessage, outgoing: ServerResponse): void => {
    const { method = '', url: path = '', headers } = incoming;
    requests.push(`${method} ${path}`);
    const mood = front.mood(`${method} ${path}`);
    if (mood === 'silent') return void incoming.resume();
    if (typeof mood === 'number') {
      incoming.resume();
      outgoing.writeHead(mood).end();
      return;
    }
    const passed = request({ ...target, method, path, headers });
    passed.on('error', () => outgoing.destroy());
    passed.on('response', (response) => {
      outgoing.writeHead(response.statusCode ?? 502, response.headers);
      response.pipe(outgoing);
    });
    incoming.on('error', () => passed.destroy());
    if (mood === 'well') incoming.pipe(passed);
    else trickle(incoming, passed, mood.bytesPerSecond).catch(() => passed.destroy());
  };
  const server = tls
    ? createHttps({ key: await readFile(key), cert: await readFile(certificate) }, serve)
    : createHttp(serve);
  server.on('tlsClientError', () => undefined);
  server.listen(0, GATEWAY.address);
  await once(server, 'listening');
  await setRecord(name, { a: [GATEWAY.address] });

  const front: FaultyFront = {
    url: `${tls ? 'https' : 'http'}://${name}:${(server.address() as AddressInfo).port}`,
    mood: () => 'well',
    requests,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await setRecord(name, {});
      await rm(folder, { recursive: true });
    },
  };
  return front;
}
