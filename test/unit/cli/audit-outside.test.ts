import { createServer, type Server } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { lookFromOutside } from '#cli/audit-outside';
import type { Facts } from '#protocol/facts';

const HERE = '127.0.0.1';
const servers: Server[] = [];

afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

/** A port that answers, and how often it was knocked at. */
async function listening(): Promise<{ port: number; knocks(): number }> {
  let count = 0;
  const server = createServer((socket) => {
    count += 1;
    socket.on('error', () => undefined).end();
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, HERE, resolve));
  const address = server.address();
  return { port: typeof address === 'object' && address !== null ? address.port : 0, knocks: () => count };
}

const facts = (ports: readonly number[]): Facts =>
  ({ addresses: [HERE], listening: ports.map((port) => ({ port, program: 'x' })) }) as unknown as Facts;

const portsOf = (answers: readonly { key: string; value?: string | undefined }[]) =>
  (answers.find(({ key }) => key === 'open-tcp4')?.value ?? '').split(',').map(Number);

test('what answers is found, wherever it is known from, and each port is asked once', async () => {
  const [known, declared, published] = [await listening(), await listening(), await listening()];
  const outside = await lookFromOutside({ address: HERE, connected: undefined }, facts([known.port]), [declared.port]);
  expect(portsOf(outside.answers())).toEqual(expect.arrayContaining([known.port, declared.port]));
  expect(portsOf(outside.answers())).not.toContain(published.port);
  await outside.look([published.port, known.port]);
  expect(portsOf(outside.answers())).toContain(published.port);
  expect([known, declared, published].map(({ knocks }) => knocks())).toEqual([1, 1, 1]);
});

test('a port that closes is no finding, and the port of the connection itself is not bothered', async () => {
  const [sshd, gone] = [await listening(), await listening()];
  servers.pop()?.close();
  const connected = { address: HERE, port: sshd.port };
  const outside = await lookFromOutside({ address: HERE, connected }, facts([sshd.port, gone.port]), []);
  expect(portsOf(outside.answers())).toContain(sshd.port);
  expect(portsOf(outside.answers())).not.toContain(gone.port);
  expect(sshd.knocks()).toBe(0);
});

test('a family that the host does not have is said so', async () => {
  const outside = await lookFromOutside({ address: HERE, connected: undefined }, facts([]), []);
  expect(outside.answers().find(({ key }) => key === 'open-tcp6')?.cannot).toBe('the host has no IPv6 address');
});
