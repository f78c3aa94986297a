import { mkdtempSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import { demultiplex, dockerRequest } from '#host/docker';

function frame(stream: number, text: string): Buffer {
  const content = Buffer.from(text);
  const head = Buffer.alloc(8);
  head[0] = stream;
  head.writeUInt32BE(content.length, 4);
  return Buffer.concat([head, content]);
}

describe('a log stream', () => {
  test('is put together from its frames, characters split over two included', () => {
    const bytes = Buffer.from('é');
    const [first, second] = [bytes.subarray(0, 1), bytes.subarray(1)];
    const head = Buffer.from([1, 0, 0, 0, 0, 0, 0, 1]);
    expect(demultiplex(Buffer.concat([head, first, head, second]))).toBe('é');
  });

  test('of a container with a terminal is left as it is', () => {
    expect(demultiplex(Buffer.from('plain text, no frames at all'))).toBe('plain text, no frames at all');
  });

  test('comes out whole, whatever was written', async () => {
    const frames = fc.array(fc.tuple(fc.constantFrom(1, 2), fc.string({ unit: 'grapheme' })));
    await fc.assert(
      fc.property(frames, (all) => {
        const stream = Buffer.concat(all.map(([number, text]) => frame(number, text)));
        expect(demultiplex(stream)).toBe(all.map(([, text]) => text).join(''));
      }),
    );
  });
});

describe('a request', () => {
  let server: Server | undefined;

  async function engine(listener: RequestListener): Promise<string> {
    const socket = join(mkdtempSync(join(tmpdir(), 'slipway-engine-')), 'docker.sock');
    server = createServer(listener);
    await new Promise<void>((resolve) => server?.listen(socket, resolve));
    return socket;
  }

  afterEach(() => {
    server?.closeAllConnections();
    server?.close();
    server = undefined;
  });

  test('has no answer where no engine listens', async () => {
    expect(await dockerRequest('/info', { socket: '/nonexistent/docker.sock' })).toBeUndefined();
  });

  test('has no answer where the object is absent', async () => {
    const socket = await engine((_, response) => response.writeHead(404).end('{"message":"no such network"}'));
    expect(await dockerRequest('/networks/x', { socket })).toBeUndefined();
  });

  test('has an empty object where nothing is said', async () => {
    const socket = await engine((_, response) => response.writeHead(204).end());
    expect(await dockerRequest('/networks/x', { socket, method: 'DELETE' })).toEqual({});
  });

  test('fails with the words of the engine', async () => {
    const socket = await engine((_, response) => response.writeHead(409).end('{"message":"it is in use"}'));
    await expect(dockerRequest('/networks/x', { socket, method: 'DELETE' })).rejects.toMatchObject({
      code: 'docker-failed',
      message: 'Docker refused DELETE /networks/x: it is in use',
    });
  });

  test('sends its body as JSON, by its length in bytes', async () => {
    const socket = await engine((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => response.setHeader('content-type', 'application/json').end(Buffer.concat(chunks)));
    });
    expect(await dockerRequest('/x', { socket, method: 'POST', body: { Name: 'né' } })).toEqual({ Name: 'né' });
  });

  test('is given up where the engine stays silent', async () => {
    const socket = await engine(() => undefined);
    await expect(dockerRequest('/info', { socket, timeout: 0.05 })).rejects.toMatchObject({
      code: 'docker-failed',
      message: 'Docker did not answer GET /info: no answer within 0.05 s.',
    });
  });
});
