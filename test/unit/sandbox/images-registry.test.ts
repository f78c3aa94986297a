import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type PackedLayer, pack } from '#sandbox/images/archive';
import { assemble } from '#sandbox/images/image';
import { openRegistry, type RegistryAddress } from '#sandbox/images/registry';

// Debian's package docker-registry; ./scripts/test installs it.
const PROGRAM = '/usr/bin/docker-registry';

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}

async function accepts(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  const open = await once(socket, 'connect').then(
    () => true,
    () => false,
  );
  socket.destroy();
  return open;
}

describe.skipIf(!existsSync(PROGRAM))('a real registry behind a certificate of its own authority', () => {
  let room: string;
  let process: ChildProcess;
  let address: RegistryAddress;
  let layer: PackedLayer & { file: string };

  beforeAll(async () => {
    room = mkdtempSync(join(tmpdir(), 'images-registry-'));
    const port = await freePort();
    execFileSync(
      'openssl',
      [
        ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '1'],
        ...['-subj', '/CN=test', '-addext', 'subjectAltName=DNS:registry.sandbox.test'],
        ...['-keyout', join(room, 'key.pem'), '-out', join(room, 'ca.pem')],
      ],
      { stdio: 'ignore' },
    );
    const settings = {
      version: 0.1,
      storage: { filesystem: { rootdirectory: join(room, 'data') } },
      http: { addr: `127.0.0.1:${port}`, tls: { certificate: join(room, 'ca.pem'), key: join(room, 'key.pem') } },
    };
    writeFileSync(join(room, 'config.yml'), JSON.stringify(settings));
    process = spawn(PROGRAM, ['serve', join(room, 'config.yml')], { stdio: 'ignore' });
    const ca = readFileSync(join(room, 'ca.pem'), 'utf8');
    address = { registry: `registry.sandbox.test:${port}`, address: '127.0.0.1', ca };
    writeFileSync(join(room, 'hello'), 'hello'.repeat(100_000));
    const file = join(room, 'layer.tar.gz');
    layer = { ...(await pack({ root: room, paths: ['hello'] }, file)), file };
    for (let open = false; !open; await wait(50)) open = await accepts(port);
  });

  afterAll(() => {
    process.kill();
    rmSync(room, { recursive: true, force: true });
  });

  test('what was pushed is there, under a second repository too', async () => {
    const registry = openRegistry(address);
    const { config, manifest } = assemble({ layers: [], run: {} }, [layer]);
    expect(await registry.digestOf('a', '1')).toBeUndefined();
    for (const repository of ['a', 'library/a']) {
      await registry.pushLayer(repository, layer);
      await registry.pushBlob(repository, config);
      await registry.pushManifest(repository, '1', manifest);
      expect(await registry.digestOf(repository, '1')).toBe(manifest.digest);
    }
    // Once more: what is there is not sent again, and nothing minds.
    await registry.pushLayer('a', { ...layer, file: '/nowhere' });
    registry.close();
  });

  test('a manifest of layers that it lacks is refused, and said to be', async () => {
    const registry = openRegistry(address);
    const { manifest } = assemble({ layers: [], run: {} }, [
      { digest: `sha256:${'0'.repeat(64)}`, diffId: '', size: 1 },
    ]);
    await expect(registry.pushManifest('b', '1', manifest)).rejects.toMatchObject({
      code: 'sandbox-image-failed',
      message: /manifests\/1 was answered with 40[04]/,
    });
    registry.close();
  });

  test('a registry that another authority signed is not spoken to', async () => {
    const { ca: _ca, ...stranger } = address;
    const registry = openRegistry(stranger);
    await expect(registry.digestOf('a', '1')).rejects.toMatchObject({ message: /self-signed certificate/ });
    registry.close();
  });
});

test('a registry that is not there is an error that names it', async () => {
  const name = `127.0.0.1:${await freePort()}`;
  const registry = openRegistry({ registry: name });
  await expect(registry.digestOf('a', '1')).rejects.toMatchObject({
    code: 'sandbox-image-failed',
    message: new RegExp(`${name}.*ECONNREFUSED`),
  });
  registry.close();
});
