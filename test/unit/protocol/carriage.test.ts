import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { Carriage, carriedFrame } from '#protocol/carriage';
import { frames } from '#protocol/frames';

const servers: Server[] = [];

afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

/** Both ends of a connection over loopback. */
async function pair(): Promise<[Socket, Socket]> {
  const server = createServer({ allowHalfOpen: true }).listen(0, '127.0.0.1');
  servers.push(server);
  await once(server, 'listening');
  const near = connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', allowHalfOpen: true });
  const [far] = (await once(server, 'connection')) as [Socket];
  near.on('error', () => undefined);
  return [near, far];
}

/** All that a socket gets until the other side has ended; it may still be written to. */
async function received(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  await once(socket, 'end');
  return Buffer.concat(chunks);
}

/** Two sides of a tunnel that hear each other. */
function tunnel(): [Carriage, Carriage] {
  const hear = async (bytes: Buffer, side: () => Carriage) => {
    for await (const one of frames([bytes] as unknown as AsyncIterable<Buffer>)) side().hear(carriedFrame(one));
  };
  const laptop: Carriage = new Carriage((bytes) => void hear(bytes, () => host));
  const host: Carriage = new Carriage((bytes) => void hear(bytes, () => laptop));
  return [laptop, host];
}

/** A connection from a client through the tunnel to a container. */
async function through([laptop, host]: [Carriage, Carriage], connection: number) {
  const [[client, accepted], [reached, container]] = await Promise.all([pair(), pair()]);
  laptop.carry(connection, accepted);
  host.carry(connection, reached);
  return { client, container };
}

test('every connection arrives whole and ends by itself, each way', async () => {
  const sides = tunnel();
  const content = Array.from({ length: 12 }, () => randomBytes(3_000_000));
  await Promise.all(
    content.map(async (bytes, connection) => {
      const { client, container } = await through(sides, connection);
      client.end(bytes);
      expect((await received(container)).equals(bytes)).toBe(true);
      container.end('done');
      expect((await received(client)).toString()).toBe('done');
    }),
  );
});

test('a connection that nobody reads holds up neither the others nor memory', async () => {
  const sides = tunnel();
  const stuck = await through(sides, 1);
  stuck.container.pause();
  stuck.client.write(Buffer.alloc(64_000_000));
  const { client, container } = await through(sides, 2);
  client.end(randomBytes(1_000_000));
  expect(await received(container)).toHaveLength(1_000_000);
  expect(stuck.client.writableLength).toBeGreaterThan(30_000_000);
  stuck.client.destroy();
  stuck.container.destroy();
});

test('a connection that breaks on one side ends on the other', async () => {
  const { client, container } = await through(tunnel(), 1);
  container.on('error', () => undefined);
  client.resetAndDestroy();
  container.resume().once('end', () => container.end());
  await once(container, 'close');
});
